import CPUBackend
import CUDABackend
import CUDADriver
import Foundation
import Generation
import Tensors

/// The standard film of an installed model, from request to frames, with cold and with warm weights.
public struct ClipBenchmark {
    private let backend: any Backend

    public init(backend: any Backend) { self.backend = backend }

    /// - Returns: one row a stage and one for the whole, for the first and the second film.
    public func run(_ request: GenerationRequest, library: ModelLibrary) throws -> [Measurement] {
        let generator = Generator(library: library, backend: backend)
        return try ["cold", "warm"].flatMap { state in
            let report = try generator.generate(request, sink: Drain()).report
            func row(_ name: String, _ seconds: Double) -> Measurement {
                Measurement(
                    section: "clip", name: name, shape: Self.shape(report), seconds: seconds, processorSeconds: 0)
            }
            let whole = "\(report.model) \(report.mode.rawValue) \(state)"
            let peak = report.peakMemoryBytes.map { ", peak \(MemoryEstimate.text($0))" } ?? ""
            return report.stages.map { row("  \($0.stage.rawValue)", $0.seconds) } + [
                row(whole + peak, report.totalSeconds)
            ]
        }
    }

    /// The same on a GPU: the first film, and the median of those after it, each of another seed.
    ///
    /// - Parameter profile: gets the last film's name and what each of its kernels takes.
    public func run(
        _ request: GenerationRequest, library: ModelLibrary, on device: CUDABackend, films: Int,
        profile: ((String, [WorkTime]) -> Void)? = nil, report tell: (GPUBenchmark.Row) -> Void
    ) throws -> [GPUBenchmark.Row] {
        let generator = Generator(
            library: library, backend: device,
            options: Generator.Options(
                availableMemory: { device.freeMemory() }, cardMemory: device.cardMemory,
                peakMemory: { device.memoryUsage.peak }, resetPeakMemory: { device.resetPeakMemory() }))
        var request = request
        func film() throws -> GenerationReport {
            request.seed += 1
            return try generator.generate(request, sink: Drain()).report
        }
        let cold = try film()
        let warm = try (0..<max(1, films)).map { _ in try film() }.sorted { $0.totalSeconds < $1.totalSeconds }
        let rows = [("cold", [cold]), ("warm", warm)].map { state, films in
            let median = films[films.count / 2]
            let stages = median.stages.map { String(format: "\($0.stage.rawValue) %.4f", $0.seconds) }
            return GPUBenchmark.Row(
                name: "\(median.model) \(median.mode.rawValue), \(Self.shape(median)), \(state) "
                    + "(\(stages.joined(separator: ", ")); frames \(median.framesSha256.prefix(12)))",
                seconds: median.totalSeconds, fastest: films[0].totalSeconds,
                slowest: films[films.count - 1].totalSeconds, peakBytes: median.peakMemoryBytes ?? 0)
        }
        rows.forEach(tell)
        if let profile { profile(rows[1].name, try device.profile { _ = try film() }) }
        return rows
    }

    private static func shape(_ report: GenerationReport) -> String {
        "\(report.frames) frames \(report.width)x\(report.height), \(report.steps.count) steps"
    }

    /// Frames that nobody wants.
    private final class Drain: FrameSink {
        func append(_ frames: [UInt8], count: Int) throws {}
        func finish() throws {}
    }
}
