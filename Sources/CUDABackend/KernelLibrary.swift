import CUDADriver
import Foundation

/// The kernels on one GPU, found by name.
final class KernelLibrary: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `kernels` is guarded by `lock`; modules never change.
    private let modules: [KernelFile: CUDAModule]
    private let lock = NSLock()
    private var kernels: [String: CUDAKernel] = [:]
    private let sharedBytes: Int
    /// How many files had to be compiled at this start, and the seconds that took.
    let compiledFiles: Int
    let seconds: Double

    /// Compiles (or reads) all files at once, each on a thread of its own.
    ///
    /// - Throws: `CUDAError`.
    init(stream: CUDAStream, compiler: KernelCompiler, cache: KernelCache) throws {
        let start = ContinuousClock.now
        let sources = KernelSource.all
        let results = Results(count: sources.count)
        DispatchQueue.concurrentPerform(iterations: sources.count) { index in
            results[index] = Result {
                try cache.code(of: sources[index], architecture: stream.device.architecture, compiler: compiler)
            }
        }
        var (modules, compiled): ([KernelFile: CUDAModule], Int) = ([:], 0)
        for (index, source) in sources.enumerated() {
            guard let file = KernelFile(rawValue: source.name), let result = results[index] else { continue }
            let (code, wasKept) = try result.get()
            modules[file] = try stream.loadModule(code, name: source.name)
            compiled += wasKept ? 0 : 1
        }
        self.modules = modules
        compiledFiles = compiled
        sharedBytes = stream.device.sharedMemoryPerBlock
        let elapsed = (ContinuousClock.now - start).components
        seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
    }

    /// - Parameter shared: bytes of dynamic shared memory that launches ask for; then any later one may ask for more.
    func kernel(_ file: KernelFile, _ name: String, shared: Int) throws -> CUDAKernel {
        try lock.withLock {
            if let kernel = kernels[name] { return kernel }
            guard let module = modules[file] else {
                throw CUDAError(.missing, "no kernels \(file)", hint: "the program is damaged")
            }
            let kernel = try module.kernel(name, sharedBytes: shared > 0 ? sharedBytes : 0)
            kernels[name] = kernel
            return kernel
        }
    }
}

/// One slot a file, each written by one thread.
private final class Results: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: guarded by `lock`.
    private let lock = NSLock()
    private var slots: [Result<(code: [UInt8], wasKept: Bool), any Error>?]

    init(count: Int) { slots = Array(repeating: nil, count: count) }

    subscript(index: Int) -> Result<(code: [UInt8], wasKept: Bool), any Error>? {
        get { lock.withLock { slots[index] } }
        set { lock.withLock { slots[index] = newValue } }
    }
}
