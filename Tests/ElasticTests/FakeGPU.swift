import CUDABackend
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Generation

/// Everything that uses the fake driver in this process: it has one state, so one test at a time.
@Suite(.serialized) enum FakeGPUTests {}

/// CUDA's libraries as `Tests/FakeCUDA` has them: memory is counted, calls fail as told, kernels do nothing.
final class FakeGPU {
    /// As `struct fake_cuda` lays it out.
    struct State {
        var memory: Int64 = 0
        var devices: Int64 = 0
        var failAllocation: Int64 = 0
        var failLaunch: Int64 = 0
        var hangWait: Int64 = 0
        var badDevice: Int64 = -1
        var failCapture: Int64 = 0
        var refusesUpdate: Int64 = 0
        var allocations: Int64 = 0
        var launches: Int64 = 0
        var waits: Int64 = 0
        var used: Int64 = 0
        var pieces: Int64 = 0
        var most: Int64 = 0
        var pinned: Int64 = 0
        var mistakes: Int64 = 0
        var captures: Int64 = 0
        var noted: Int64 = 0
        var graphLaunches: Int64 = 0
        var graphs: Int64 = 0
        var updates: Int64 = 0
    }

    private let scratch: ScratchFolder
    private let configure: @convention(c) (UnsafeRawPointer) -> Void
    private let read: @convention(c) (UnsafeMutableRawPointer) -> Void
    /// Where the libraries lie under the names that programs look for.
    var folder: String { scratch.url.path }

    struct Missing: Error {}

    init() throws {
        scratch = try ScratchFolder()
        let library = BuiltProgram.url("libdropreel-fake-cuda.so")
        for name in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"] {
            try FileManager.default.createSymbolicLink(
                at: scratch.url.appending(path: name), withDestinationURL: library)
        }
        guard let handle = dlopen(library.path, RTLD_NOW | RTLD_LOCAL),
            let configure = dlsym(handle, "fake_cuda_configure"), let read = dlsym(handle, "fake_cuda_read")
        else { throw Missing() }
        self.configure = unsafeBitCast(configure, to: (@convention(c) (UnsafeRawPointer) -> Void).self)
        self.read = unsafeBitCast(read, to: (@convention(c) (UnsafeMutableRawPointer) -> Void).self)
        set(State())
    }

    /// From now on; counts begin anew.
    func set(_ state: State) { withUnsafeBytes(of: state) { configure($0.baseAddress!) } }

    var state: State {
        var state = State()
        withUnsafeMutableBytes(of: &state) { read($0.baseAddress!) }
        return state
    }

    func backend(device: Int = 0, limit: Int? = nil) throws -> CUDABackend {
        try CUDABackend(
            device: device, memoryLimit: limit, cache: KernelCache(folder: scratch.url),
            fastPaths: Set(FastPath.allCases),
            libraries: [folder])
    }
}

extension Generator.Options {
    /// As the program sets them up for a GPU.
    init(_ backend: CUDABackend, host: Int? = nil, log: @escaping @Sendable (String) -> Void = { _ in }) {
        self.init(
            availableMemory: { backend.freeMemory() }, hostMemory: { host }, cardMemory: backend.cardMemory, log: log,
            peakMemory: { backend.memoryUsage.peak }, resetPeakMemory: { backend.resetPeakMemory() })
    }
}

/// Weights of any size that take no memory: all zero.
final class ZeroWeights {
    private let region: UnsafeRawBufferPointer
    private static let size = 4 << 30

    init() {
        // Never written, so the system has nothing to keep.
        let start = mmap(nil, Self.size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        precondition(start != MAP_FAILED, "no address space")
        region = UnsafeRawBufferPointer(start: start, count: Self.size)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: region.baseAddress!), Self.size) }

    func tensor(_ name: String, _ shape: [Int], _ dtype: DType) -> HostTensor {
        let count = shape.reduce(dtype.byteCount, *)
        return HostTensor(
            name: name, shape: shape, dtype: dtype, bytes: UnsafeRawBufferPointer(rebasing: region[..<count]),
            owner: self)
    }
}

/// Counts frames and forgets them.
final class CountingSink: FrameSink {
    private(set) var count = 0
    private(set) var isFinished = false

    func append(_ frames: [UInt8], count: Int) throws {
        self.count += count
    }

    func finish() throws { isFinished = true }
}
