import CKernels
import Foundation
import Tensors

/// The operations on the host's processor, in float32.
///
/// Every call returns when its work is done. Kernels run on the backend's own threads; calls from several threads
/// take turns.
public final class CPUBackend: Backend {
    public let name = "cpu"
    public let activationType = DType.f32
    public let level: CPULevel
    public var threadCount: Int { pool.threadCount }
    let pool: ThreadPool
    let kernels: dk_kernels

    /// - Parameters:
    ///   - threads: nil for one per processor that this process may use.
    ///   - level: nil for the best one, or what `DROPREEL_CPU_LEVEL` says.
    public init(threads: Int? = nil, level: CPULevel? = nil) {
        self.level = level.flatMap { CPULevel.available.contains($0) ? $0 : nil } ?? .preferred
        kernels = self.level.kernels
        pool = ThreadPool(threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
    }

    public var deviceDescription: String {
        "\(Self.processorName), \(threadCount) threads, \(level.rawValue)"
    }

    private static let processorName: String = {
        let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
        let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":", maxSplits: 1).last
        return model.map { $0.trimmingCharacters(in: .whitespaces) } ?? "CPU"
    }()

    public func synchronize() {}

    /// Calls `body` for every index below `count` on the backend's threads, and returns when all are done.
    public func parallel(_ count: Int, _ body: (Int) -> Void) {
        pool.run(count) { index, _ in body(index) }
    }
}

/// Host memory of the CPU backend.
final class CPUBuffer: DeviceBuffer, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the pointer never changes; the backend's callers order reads and writes.
    let memory: UnsafeMutableRawPointer
    let byteCount: Int

    init(byteCount: Int) throws {
        var pointer: UnsafeMutableRawPointer?
        guard posix_memalign(&pointer, 64, max(byteCount, 64)) == 0, let pointer else {
            throw BackendError.outOfMemory(requested: byteCount)
        }
        memory = pointer
        self.byteCount = byteCount
    }

    deinit { free(memory) }
}

extension Tensor {
    /// Where the elements lie. - Precondition: a tensor of the CPU backend.
    var pointer: UnsafeMutableRawPointer {
        guard let buffer = buffer as? CPUBuffer else { preconditionFailure("a tensor of another backend") }
        return buffer.memory + offset
    }

    /// - Precondition: an f32 tensor of the CPU backend.
    var floats: UnsafeMutablePointer<Float> {
        precondition(dtype == .f32, "expected f32, found \(dtype)")
        return pointer.assumingMemoryBound(to: Float.self)
    }

    /// Rows of a matrix `[rows, last dimension]`.
    var matrix: (rows: Int, columns: Int) {
        let columns = shape.last ?? 1
        return (columns == 0 ? 0 : elementCount / columns, columns)
    }
}
