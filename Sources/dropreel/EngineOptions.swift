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
    /// - Parameters:
    ///   - threads: of the CPU backend; 0 for as many as the host has cores.
    ///   - precision: of the activations on a GPU: bf16 or f32.
    ///   - cache: where compiled kernels are kept.
    /// - Throws: an exit code, after it has said why a GPU that was asked for cannot be used.
    static func backend(
        _ choice: ServiceConfiguration.BackendChoice, device: Int, threads: Int, precision: DType = .bf16,
        cache: KernelCache = KernelCache()
    ) throws -> any Backend {
        func cpu() -> any Backend { CPUBackend(threads: threads > 0 ? threads : nil) }
        guard choice != .cpu else { return cpu() }
        do {
            return try CUDABackend(device: device, precision: precision, cache: cache)
        } catch let error as CUDAError {
            guard choice == .auto else { throw fail(.unavailable, error.message, hint: error.hint) }
            // A host without a driver is nothing to speak of; one whose GPU does not work is.
            if (try? CUDADriver()) != nil { Console.error("note: no GPU is used: \(error)") }
            return cpu()
        }
    }

    /// The service's own: its kernels are kept beside its ledger.
    static func backend(_ configuration: ServiceConfiguration, threads: Int) throws -> any Backend {
        try backend(
            configuration.engine.backend, device: configuration.engine.device, threads: threads,
            cache: kernelCache(configuration))
    }

    static func kernelCache(_ configuration: ServiceConfiguration) -> KernelCache {
        KernelCache(folder: URL(fileURLWithPath: configuration.folders.state).appending(path: "kernels"))
    }

    /// A generator that knows the memory its backend has.
    static func generator(_ library: ModelLibrary, _ backend: any Backend) -> Generator {
        guard let gpu = backend as? CUDABackend else { return Generator(library: library, backend: backend) }
        return Generator(
            library: library, backend: backend,
            options: Generator.Options(
                availableMemory: { gpu.freeMemory() }, peakMemory: { gpu.memoryUsage.peak },
                resetPeakMemory: { gpu.resetPeakMemory() }))
    }
}
