import CUDADriver
import Foundation
import Tensors

/// The operations on an NVIDIA GPU of compute capability 8.0 or later.
///
/// Work is queued on one stream; `download` and `synchronize` wait. Activations are bf16 with float32 sums, or float32
/// throughout (no TF32): the same models, to compare with. After an operation that the driver refuses nothing more is
/// done until somebody asks (`check`): results would be wrong. A GPU that is lost stays lost; the service starts another
/// worker.
public final class CUDABackend: Backend {
    public let name = "cuda"
    public let activationType: DType
    public let device: CUDADevice
    let stream: CUDAStream
    let kernels: KernelLibrary
    let fastPaths: Set<FastPath>
    /// nil where cuBLASLt is not there: the kernels of this program do its work.
    let products: MatrixProducts?
    private let compilerVersion: String
    private let fault = DeviceFault()
    private let lane: LazyLane
    let uploads: LazyUploads
    let waits = TransferWaits()
    let landing = LandingMemory()
    let known = KnownRepetitions()

    /// - Parameters:
    ///   - device: which of the GPUs that this process may use.
    ///   - precision: `.bf16` or `.f32`.
    ///   - memoryLimit: most bytes to allocate; nil for what the GPU has.
    ///   - fastPaths: which of the faster ways may be taken.
    ///   - libraries: folders in which CUDA's libraries are looked for first.
    /// - Throws: `CUDAError` if a library, a GPU or memory is missing, or a kernel does not compile.
    public init(
        device index: Int = 0, precision: DType = .bf16, memoryLimit: Int? = nil, cache: KernelCache = KernelCache(),
        fastPaths: Set<FastPath> = FastPath.chosen, libraries: [String] = []
    ) throws {
        precondition(precision == .bf16 || precision == .f32, "activations in \(precision)")
        activationType = precision
        let driver = try CUDADriver(folders: libraries)
        device = try Self.chosen(index, of: driver.devices())
        let compiler = try KernelCompiler(folders: CUDAFolders.all, first: libraries)
        stream = try CUDAStream(driver: driver, device: device, memoryLimit: memoryLimit)
        kernels = try KernelLibrary(stream: stream, compiler: compiler, cache: cache)
        lane = LazyLane(stream)
        uploads = LazyUploads(stream)
        products =
            fastPaths.contains(.library)
            ? try? MatrixProducts(stream: stream, folders: CUDAFolders.all, first: libraries) : nil
        self.fastPaths = fastPaths
        compilerVersion = compiler.version
    }

    public var deviceDescription: String {
        "\(device.name), driver for CUDA \(stream.driver.version), kernels by NVRTC \(compilerVersion)"
            + (products == nil && fastPaths.contains(.library) ? ", without cuBLASLt" : "")
            + FastPath.allCases.filter { !fastPaths.contains($0) }.map { ", \($0) left out" }.joined()
    }

    /// Kernel files compiled at this start (the others were kept from before), and the seconds to get them all.
    public var compilation: (files: Int, seconds: Double) { (kernels.compiledFiles, kernels.seconds) }
    /// Bytes allocated now and at most.
    public var memoryUsage: (now: Int, peak: Int) { stream.usage }
    public func resetPeakMemory() { stream.resetPeak() }
    /// Bytes of the GPU, or as many of them as this process may take.
    public var cardMemory: Int { min(device.memoryBytes, stream.memoryLimit ?? .max) }
    /// Bytes that can still be allocated.
    public func freeMemory() -> Int { must(else: 0) { try stream.freeBytes() } }

    public func synchronize() { must { try stream.synchronize() } }

    /// Milliseconds of GPU time that the work of `body` takes.
    public func time(_ body: () throws -> Void) throws -> Double { try stream.time(body) }

    /// What each kernel of `body` takes, the longest first.
    public func profile(_ body: () throws -> Void) throws -> [WorkTime] { try stream.profile(body) }

    /// Power and clocks now; nil where they cannot be asked for.
    public var powerState: PowerState? { PowerState(of: stream) }

    public func check() throws { try fault.take() }

    /// Forgets a refusal that says nothing about the device.
    /// - Returns: whether there was none.
    func forgetsFault() -> Bool { fault.forget() }

    // MARK: For the operations

    /// Does what the driver may refuse. After a refusal nothing more is done until `check`.
    func must(_ body: () throws -> Void) { must(else: (), body) }

    /// The same with a result; after a refusal `fallback` stands for it.
    func must<Result>(else fallback: @autoclosure () -> Result, _ body: () throws -> Result) -> Result {
        guard fault.isClear else { return fallback() }
        do { return try body() } catch {
            fault.note(failure(error))
            return fallback()
        }
    }

    /// An error of the driver or its libraries, as callers know it.
    func failure(_ error: any Error, requested bytes: Int = 0) -> BackendError {
        switch error {
        case let error as BackendError: error
        case let error as CUDAError where error.code == .outOfMemory: .outOfMemory(requested: bytes)
        default: .deviceLost("GPU \(device.ordinal) (\(device.name)): \((error as? CUDAError)?.message ?? "\(error)")")
        }
    }

    func copyLane() throws -> CUDACopyLane { try lane.get() }

    /// Queues a kernel.
    func launch(
        _ file: KernelFile, _ name: String, grid: (Int, Int), threads: Int, shared: Int = 0,
        _ arguments: any KernelArgument...
    ) {
        guard grid.0 > 0, grid.1 > 0 else { return }
        precondition(grid.0 < 1 << 31 && grid.1 < 1 << 16, "\(name): grid \(grid)")
        var packed = KernelArguments()
        for argument in arguments { argument.add(to: &packed) }
        var bytes = packed.bytes
        must {
            let kernel = try kernels.kernel(file, name, shared: shared)
            try bytes.withUnsafeMutableBytes {
                try stream.launch(kernel, grid: grid, threads: threads, sharedBytes: shared, arguments: $0)
            }
        }
    }

    /// Queues a kernel of one argument, a structure with tensor maps.
    func launchWhole<Structure: BitwiseCopyable>(
        _ file: KernelFile, _ name: String, blocks: Int, threads: Int, shared: Int, _ structure: Structure
    ) {
        guard blocks > 0 else { return }
        must {
            let kernel = try kernels.kernel(file, name, shared: shared)
            var structure = structure
            try withUnsafeMutableBytes(of: &structure) {
                guard let base = $0.baseAddress else { return }
                try stream.launch(kernel, grid: (blocks, 1), threads: threads, sharedBytes: shared, argument: base)
            }
        }
    }

    /// Queues a kernel whose threads each take elements a grid apart.
    func launchElements(_ file: KernelFile, _ name: String, count: Int, _ arguments: any KernelArgument...) {
        let blocks = min((count + 255) / 256, device.multiprocessors * 32)
        guard blocks > 0 else { return }
        var packed = KernelArguments()
        for argument in arguments { argument.add(to: &packed) }
        var bytes = packed.bytes
        must {
            let kernel = try kernels.kernel(file, name, shared: 0)
            try bytes.withUnsafeMutableBytes {
                try stream.launch(kernel, grid: (blocks, 1), threads: 256, sharedBytes: 0, arguments: $0)
            }
        }
    }

    /// Memory for the length of an operation.
    func scratch(_ shape: [Int], _ dtype: DType) -> Tensor {
        must(else: Tensor(buffer: CUDABuffer(nothingOf: shape, dtype, stream), shape: shape, dtype: dtype)) {
            try allocate(shape, dtype)
        }
    }
}

/// The first thing that a GPU refused.
private final class DeviceFault: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `error` is guarded by `lock`.
    private let lock = NSLock()
    private var error: BackendError?

    var isClear: Bool { lock.withLock { error == nil } }

    func note(_ new: BackendError) { lock.withLock { if error == nil { error = new } } }

    /// - Returns: whether there was none.
    func forget() -> Bool {
        lock.withLock {
            defer { error = nil }
            return error == nil
        }
    }

    /// Throws it; a lost device stays lost.
    func take() throws {
        try lock.withLock {
            guard let found = error else { return }
            if case .deviceLost = found {} else { error = nil }
            throw found
        }
    }
}

/// The lane for copies, made when the first block is streamed.
private final class LazyLane: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `lane` is guarded by `lock`.
    private let lock = NSLock()
    private let stream: CUDAStream
    private var lane: CUDACopyLane?

    init(_ stream: CUDAStream) { self.stream = stream }

    func get() throws -> CUDACopyLane {
        try lock.withLock {
            if let lane { return lane }
            let new = try CUDACopyLane(stream: stream)
            lane = new
            return new
        }
    }
}

/// Memory of the CUDA backend.
final class CUDABuffer: DeviceBuffer, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing changes after initialisation; work on it is ordered by the stream.
    let address: DeviceAddress
    let byteCount: Int
    private let stream: CUDAStream

    init(stream: CUDAStream, byteCount: Int) throws {
        self.stream = stream
        self.byteCount = byteCount
        address = try stream.allocate(byteCount)
    }

    /// No memory: stands for what could not be allocated, and is never touched.
    init(nothingOf shape: [Int], _ dtype: DType, _ stream: CUDAStream) {
        self.stream = stream
        byteCount = shape.reduce(dtype.byteCount, *)
        address = 0
    }

    deinit { if address != 0 { stream.free(address, byteCount) } }
}
