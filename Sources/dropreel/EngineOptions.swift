import ArgumentParser
import CPUBackend
import CUDABackend
import CUDADriver
import Foundation
import Generation
import Rules
import Tensors

/// The only place that picks a backend.
enum EngineFactory {
    /// `auto` takes a GPU that has proven every operation of this program (`GPUProof`), else the CPU.
    ///
    /// - Parameters:
    ///   - threads: of the CPU backend; 0 for as many as the host has cores.
    ///   - precision: of the activations on a GPU: bf16 or f32.
    ///   - memoryLimit: most bytes to take of a GPU; nil for what is free.
    ///   - cache: where compiled kernels are kept.
    ///   - proves: whether `auto` may take the seconds to prove a GPU that is not known yet.
    /// - Throws: an exit code, after it has said why a GPU that was asked for cannot be used.
    static func backend(
        _ choice: ServiceConfiguration.BackendChoice, device: Int, threads: Int, precision: DType = .bf16,
        memoryLimit: Int? = nil, cache: KernelCache = KernelCache(), proves: Bool = true
    ) throws -> any Backend {
        func cpu() -> any Backend { CPUBackend(threads: threads > 0 ? threads : nil) }
        switch choice {
        case .cpu: return cpu()
        case .auto:
            guard let proof = GPUProof(device: device, cache: cache) else { return cpu() }
            guard (proves ? proof.verdict() : proof.known) == .passed else { return cpu() }
            // A GPU that was whole when it was proven may be full or gone now.
            let gpu = try? CUDABackend(
                device: device, precision: precision, memoryLimit: memoryLimit, cache: cache)
            return gpu ?? cpu()
        case .cuda:
            do {
                return try CUDABackend(device: device, precision: precision, memoryLimit: memoryLimit, cache: cache)
            } catch let error as CUDAError {
                throw fail(.unavailable, error.message, hint: error.hint)
            }
        }
    }

    /// The service's own: its kernels are kept beside its ledger.
    static func backend(
        _ configuration: ServiceConfiguration, device: Int? = nil, threads: Int, memoryLimit: Int? = nil,
        proves: Bool = true
    ) throws -> any Backend {
        try backend(
            configuration.engine.backend, device: device ?? configuration.engine.device, threads: threads,
            memoryLimit: memoryLimit ?? configuration.engine.gpuMemory, cache: kernelCache(configuration),
            proves: proves)
    }

    /// The GPU that `auto` would take; nil where there is none or another choice was made.
    static func proof(_ configuration: ServiceConfiguration, device: Int? = nil) -> GPUProof? {
        guard configuration.engine.backend == .auto else { return nil }
        return GPUProof(device: device ?? configuration.engine.device, cache: kernelCache(configuration))
    }

    /// GPUs that each get a worker of their own; nil where one is enough or the CPU does it all.
    static func gpus(_ configuration: ServiceConfiguration) -> [Int]? {
        guard configuration.engine.backend != .cpu else { return nil }
        switch configuration.engine.gpus {
        case .device: return nil
        case .numbers(let numbers): return numbers
        case .all:
            let found = (try? CUDADriver().devices().filter(\.isSupported).map(\.ordinal)) ?? []
            return found.isEmpty ? nil : found
        }
    }

    static func kernelCache(_ configuration: ServiceConfiguration) -> KernelCache {
        KernelCache(folder: URL(fileURLWithPath: configuration.folders.state).appending(path: "kernels"))
    }

    /// A generator that knows the memory its backend has, and the digests of checkpoints that it read before.
    /// - Parameter log: gets the memory plan of each job.
    static func generator(
        _ configuration: ServiceConfiguration, _ backend: any Backend,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) -> Generator {
        var options = Generator.Options(log: log, digestFolder: URL(fileURLWithPath: configuration.folders.state))
        if let gpu = backend as? CUDABackend {
            options.availableMemory = { gpu.freeMemory() }
            options.hostMemory = HostMemory.available
            options.cardMemory = gpu.cardMemory
            options.peakMemory = { gpu.memoryUsage.peak }
            options.resetPeakMemory = { gpu.resetPeakMemory() }
        }
        return Generator(library: configuration.library, backend: backend, options: options)
    }
}
