import CUDABackend
import CUDADriver
import Checkpoints
import Foundation
import Generation
import Media
import Sampling
import Tensors

/// Whole films at full size within a limit of GPU memory, with random weights: what a smaller card would do, with real
/// allocations.
public struct MemoryBenchmark {
    public struct Film: Sendable, Hashable {
        public var kind: FullSizeModel.Kind
        public var resolution: String

        public init(kind: FullSizeModel.Kind, resolution: String) { (self.kind, self.resolution) = (kind, resolution) }
    }

    /// One model at one resolution, on a card of some size.
    public struct Case: Sendable, Hashable {
        public var kind: FullSizeModel.Kind
        public var resolution: String
        public var limit: Int

        public init(kind: FullSizeModel.Kind, resolution: String, limit: Int) {
            (self.kind, self.resolution, self.limit) = (kind, resolution, limit)
        }

        public var name: String { "\(kind.rawValue) \(resolution) within \(MemoryEstimate.text(limit))" }
    }

    public struct Row: Codable, Sendable {
        public var name: String
        /// nil where it was made.
        public var refusal: String?
        public var plan: MemoryPlan?
        /// Most bytes that were allocated, and what the formula had said.
        public var peakBytes: Int
        public var estimateBytes: Int
        /// Seconds of the first film and of one made after it, and its stages.
        public var firstSeconds: Double
        public var seconds: Double
        public var stages: [GenerationReport.Stage]
        public var stepSeconds: [Double]
        /// Of which the work waited for blocks on their way to the GPU; nil where all are there.
        public var transferSeconds: Double?
        /// SHA-256 of the last film's frames: the same from every plan of one precision.
        public var framesSHA256: String

        public var text: String {
            guard let plan else { return "\(name): \(refusal ?? "")" }
            let stages = stages.map { String(format: "\($0.stage.rawValue) %.3f", $0.seconds) }.joined(separator: ", ")
            let steps = stepSeconds.map { String(format: "%.3f", $0) }.joined(separator: " ")
            return "\(name): \(plan.text); allocated at most \(MemoryEstimate.text(peakBytes)) "
                + String(format: "(%.2f of the estimate); ", Double(peakBytes) / Double(max(estimateBytes, 1)))
                + String(format: "first film %.2f s, next %.2f s (", firstSeconds, seconds) + stages
                + "), steps \(steps)" + (transferSeconds.map { String(format: ", waited for blocks %.3f s", $0) } ?? "")
                + (plan.hostBytes > 0 ? ", in host memory \(MemoryEstimate.text(plan.hostBytes))" : "")
                + "; frames \(framesSHA256.prefix(12))"
        }
    }

    let device: Int
    let steps: Int
    let frames: Int
    let films: Int
    let hostLimit: Int?

    /// - Parameters:
    ///   - frames: of each film.
    ///   - films: of each case; the last one's times count.
    ///   - hostLimit: most bytes of host memory for what waits there; nil for what there is.
    public init(device: Int, steps: Int = 4, frames: Int = 81, films: Int = 2, hostLimit: Int? = nil) {
        (self.device, self.steps, self.frames, self.films) = (device, steps, frames, films)
        self.hostLimit = hostLimit
    }

    /// - Parameters:
    ///   - quantizes: nil for what the card's size asks for.
    ///   - log: gets each job's memory plan, and what becomes of it.
    public func run(
        _ cases: [Case], quantizes: Bool? = nil, log: @escaping @Sendable (String) -> Void = { _ in },
        report: (Row) -> Void
    ) throws -> [Row] {
        let weights = RandomWeights()
        return try cases.map { one in
            let row = try measure(one, quantizes, weights, log)
            report(row)
            return row
        }
    }

    private func measure(
        _ one: Case, _ quantizes: Bool?, _ weights: RandomWeights, _ log: @escaping @Sendable (String) -> Void
    ) throws -> Row {
        let backend = try CUDABackend(device: device, memoryLimit: one.limit)
        let model = try FullSizeModel(one.kind) { weights.tensors($0) }
        let hostLimit = hostLimit
        let generator = try Generator(
            model, backend: backend,
            options: Generator.Options(
                availableMemory: { backend.freeMemory() },
                hostMemory: { HostMemory.available().map { min($0, hostLimit ?? $0) } },
                cardMemory: min(one.limit, backend.device.memoryBytes), log: log,
                peakMemory: { backend.memoryUsage.peak },
                resetPeakMemory: { backend.resetPeakMemory() }))
        var request = try model.request(resolution: one.resolution)
        (request.steps, request.frameCount) = (steps, frames)
        // With fewer steps the second network still gets the last one.
        if steps < 4 { request.boundary = 0.95 }
        if let quantizes { (request.mayQuantize, request.linearPrecision) = (false, quantizes ? .int8 : .float) }
        if one.kind.mode == .i2v {
            let count = request.size.area * 3
            request.image = RGBImage(
                width: request.size.width, height: request.size.height,
                pixels: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
        }
        var reports: [GenerationReport] = []
        do {
            for film in 0..<max(1, films) {
                request.prompt = "film \(film)"
                request.seed = UInt64(film)
                reports.append(try generator.generate(request, sink: NoSink()).report)
            }
        } catch let error as GenerationError {
            return Row(
                name: one.name, refusal: "\(error)", plan: nil, peakBytes: backend.memoryUsage.peak, estimateBytes: 0,
                firstSeconds: 0, seconds: 0, stages: [], stepSeconds: [], framesSHA256: "")
        }
        let last = reports[reports.count - 1]
        return Row(
            name: one.name, refusal: nil, plan: last.memoryPlan,
            peakBytes: reports.compactMap(\.peakMemoryBytes).max() ?? 0,
            estimateBytes: last.memoryPlan.bytes, firstSeconds: reports[0].totalSeconds, seconds: last.totalSeconds,
            stages: last.stages, stepSeconds: last.steps.map(\.seconds), transferSeconds: last.transferSeconds,
            framesSHA256: last.framesSha256)
    }
}

/// Frames that nobody wants.
private final class NoSink: FrameSink {
    func append(_ frames: [UInt8], count: Int) throws {}
    func finish() throws {}
}

extension GPUBenchmark.Row {
    /// The loop of a film whose networks do not all stay on the GPU, what it waited for them included.
    public init(_ film: MemoryBenchmark.Row) {
        let swap = film.stages.filter { $0.stage == .swap || $0.stage == .load }.reduce(0) { $0 + $1.seconds }
        let seconds = film.stepSeconds.reduce(0, +)
        self.init(
            name: "\(film.name), steps and what they waited for: \(film.refusal ?? film.plan?.text ?? ""); "
                + String(
                    format: "waits for blocks %.3f s, swap and load beside steps %.3f s", film.transferSeconds ?? 0,
                    swap),
            seconds: seconds, fastest: seconds, slowest: seconds, upstreamOnH100: 21.2, goal: 10.5,
            peakBytes: film.peakBytes)
    }
}
