import CPUBackend
import Foundation
import Generation
import Tensors

/// The standard film of an installed model, from request to frames, with cold and with warm weights.
public struct ClipBenchmark {
    private let backend: CPUBackend

    public init(backend: CPUBackend) { self.backend = backend }

    /// - Returns: one row a stage and one for the whole, for the first and the second film.
    public func run(_ request: GenerationRequest, library: ModelLibrary) throws -> [Measurement] {
        let generator = Generator(library: library, backend: backend)
        return try ["cold", "warm"].flatMap { state in
            let report = try generator.generate(request, sink: Drain()).report
            let shape = "\(report.frames) frames \(report.width)x\(report.height), \(report.steps.count) steps"
            func row(_ name: String, _ seconds: Double) -> Measurement {
                Measurement(section: "clip", name: name, shape: shape, seconds: seconds, processorSeconds: 0)
            }
            let whole = "\(report.model) \(report.mode.rawValue) \(state)"
            let peak = report.peakMemoryBytes.map { ", peak \(MemoryEstimate.text($0))" } ?? ""
            return report.stages.map { row("  \($0.stage.rawValue)", $0.seconds) } + [
                row(whole + peak, report.totalSeconds)
            ]
        }
    }

    /// Frames that nobody wants.
    private final class Drain: FrameSink {
        func append(_ frames: [UInt8], count: Int) throws {}
        func finish() throws {}
    }
}
