import CPUBackend
import Foundation
import Generation
import Rules
import Tensors

/// The only place that picks a backend.
enum EngineFactory {
    /// - Parameter threads: of the CPU backend; 0 for as many as the host has cores.
    static func backend(_ choice: ServiceConfiguration.BackendChoice, threads: Int) -> any Backend {
        switch choice {
        case .auto, .cpu: CPUBackend(threads: threads > 0 ? threads : nil)
        }
    }
}
