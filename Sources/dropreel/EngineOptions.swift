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
    /// - Throws: an exit code, after it has said why a GPU that was asked for cannot be used.
    static func backend(
        _ choice: ServiceConfiguration.BackendChoice, device: Int, threads: Int, precision: DType = .bf16
    ) throws -> any Backend {
        func cpu() -> any Backend { CPUBackend(threads: threads > 0 ? threads : nil) }
        guard choice != .cpu else { return cpu() }
        do {
            return try CUDABackend(device: device, precision: precision)
        } catch let error as CUDAError {
            guard choice == .auto else { throw fail(.unavailable, error.message, hint: error.hint) }
            // A host without a driver is nothing to speak of; one whose GPU does not work is.
            if (try? CUDADriver()) != nil { Console.error("note: no GPU is used: \(error)") }
            return cpu()
        }
    }

    static func backend(_ engine: ServiceConfiguration.Engine, threads: Int) throws -> any Backend {
        try backend(engine.backend, device: engine.device, threads: threads)
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
