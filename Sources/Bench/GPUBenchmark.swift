import CUDABackend
import CUDADriver
import Checkpoints
import Foundation
import Sampling
import Tensors
import Wan

/// Whole stages at full size on a GPU, with random weights made on the spot: Wan2.1-1.3B at 480p with 81 frames, its
/// VAE and umT5-XXL. Warm, synchronized wall-clock times: what a job would wait for.
public struct GPUBenchmark {
    /// One stage: the median of several runs, and the fastest and slowest.
    public struct Row: Codable, Sendable {
        public var name: String
        public var seconds: Double
        public var fastest: Double
        public var slowest: Double
        /// 10^12 operations a second, where they are counted.
        public var teraflops: Double?
        /// 10^9 bytes a second, where reading and writing is all there is to do.
        public var gigabytes: Double?
        /// Of the fastest product or copy that the same run measured in the same type.
        public var shareOfCeiling: Double?
        /// What the reference implementation takes on one H100, warm; seconds.
        public var upstreamOnH100: Double?
        /// What this program wants to take on one H100; seconds.
        public var goal: Double?
        /// Against arithmetic in float32 on the same values: `||a - b|| / ||b||`.
        public var relativeError: Double?
        /// Of the same attention over the same blocks in bf16.
        public var relativeErrorOfBits: Double?
        /// Most bytes of GPU memory during the stage, weights of this stage included.
        public var peakBytes: Int

        public var text: String {
            String(format: "%10.6f s  (%.6f to %.6f)", seconds, fastest, slowest)
                + (teraflops.map { String(format: "  %6.1f TFLOP/s", $0) }
                    ?? gigabytes.map { String(format: "  %6.0f GB/s   ", $0) } ?? "                ")
                + (shareOfCeiling.map { String(format: " %3.0f %%", 100 * $0) } ?? "      ")
                + String(format: "  %6.2f GiB  ", Double(peakBytes) / 0x1p30) + name
                + (relativeError.map { String(format: "; relative error %.4f", $0) } ?? "")
                + (relativeErrorOfBits.map { String(format: ", against the same blocks in bf16 %.4f", $0) } ?? "")
                + (upstreamOnH100.map { String(format: "; upstream on an H100 %.4g s", $0) } ?? "")
                + (goal.map { String(format: "; goal %.4g s", $0) } ?? "")
        }
    }

    public struct Table: Codable, Sendable {
        public var device: String
        /// Before the first stage and after the last.
        public var powerBefore: PowerState?
        public var powerAfter: PowerState?
        public var rows: [Row]

        public var text: String {
            ([device, powerBefore?.text, "after the run: " + (powerAfter?.text ?? "not known")].compactMap { $0 }
                + [
                    "medians of repetitions, warm; in brackets the fastest and slowest; share of the ceiling measured here; "
                        + "peak memory"
                ] + rows.map(\.text)).joined(separator: "\n")
        }
    }

    let backend: CUDABackend
    let repetitions: Int
    let weights = RandomWeights()
    let values = BenchmarkValues()
    /// Called with each row as it is measured.
    let report: (Row) -> Void
    /// Called with a stage's name and what each of its kernels takes; nil for no profiles.
    let profile: ((String, [WorkTime]) -> Void)?

    public init(
        backend: CUDABackend, repetitions: Int = 5, profile: ((String, [WorkTime]) -> Void)? = nil,
        report: @escaping (Row) -> Void
    ) {
        (self.backend, self.repetitions, self.profile, self.report) = (backend, repetitions, profile, report)
    }

    public enum Stage: String, CaseIterable, Sendable {
        case operations, transformer, decoder, encoder
        /// A network of the shipped model's size, whose steps are many short kernels.
        case small
        /// The installed model's standard films (`ClipBenchmark`).
        case clip
        case textEncoder = "text-encoder"
        /// Wan2.1-14B at 480p and 720p.
        case large
        /// Wan2.2-I2V-A14B at 720p, both experts on the GPU.
        case experts
        /// The same as a whole film on a card where one expert must make room for the other.
        case swap
        /// From a drop to its film, by the service, and from the program's start (`DropBenchmark`).
        case drop
    }

    public func run(_ stages: [Stage] = Stage.allCases) throws -> Table {
        let before = backend.powerState
        var rows: [Row] = []
        for stage in stages {
            switch stage {
            case .operations: rows += try operations()
            case .transformer: rows += try transformer()
            case .small: rows += try small()
            case .decoder: rows += try decoder()
            case .encoder: rows += try encoder()
            case .textEncoder: rows += try textEncoder()
            case .large: rows += try large()
            case .experts: rows += try experts()
            case .swap, .drop, .clip: continue  // in processes or with backends of their own
            }
        }
        return Table(
            device: backend.deviceDescription, powerBefore: before, powerAfter: backend.powerState, rows: rows)
    }

    // MARK: Stages

    private func transformer() throws -> [Row] {
        let entries = TransformerLayout.entries(
            dim: 1536, inputChannels: 16, feedForwardDim: 8960, layerCount: 30, textDim: 4096, sparseLinear: true,
            dtype: .bf16)
        let configuration = TransformerConfiguration(
            inputChannels: 16, outputChannels: 16, dim: 1536, headCount: 12, feedForwardDim: 8960, layerCount: 30,
            textDim: 4096)
        let reader = WeightReader(weights.tensors(entries), backend: backend, source: "random weights")
        var rows: [Row] = []
        for precision in [LinearPrecision.stored, .int8] {
            let network = try Transformer(reader, configuration: configuration, precision: precision)
            let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 832, height: 480))
            let textRows = 120
            let text = try network.prepare(
                TextConditioning(
                    rows: RandomInput.values(textRows * configuration.textDim), textDim: configuration.textDim))
            let workspace = try network.makeWorkspace(geometry)
            let latents = RandomInput.values(geometry.latentCount)
            let kinds: [(String, AttentionKind, Double)] = [
                ("SLA 10 %", .sparseLinear(Self.attention(quantized: false)), 0.1),
                ("SageSLA 10 %", .sparseLinear(Self.attention(quantized: true)), 0.1),
                ("dense", .dense, 1),
            ]
            for (name, attention, share) in kinds where precision == .stored || share < 1 {
                let operations = OperationCounts.transformerStep(
                    configuration, tokens: geometry.tokenCount, textRows: textRows, attendedShare: share)
                let linears = Self.linears(of: network)
                let isPlain = precision == .stored
                rows.append(
                    try measure(
                        "1.3B 480p, one step, \(name), \(linears) linears", operations,
                        upstream: isPlain ? (share < 1 ? 0.369 : 0.63) : nil
                    ) {
                        _ = try network.velocity(
                            latents: latents, timestep: 932, text: text, attention: attention, workspace: workspace,
                            repeats: true)
                    })
                guard share < 1, isPlain != (name == "SageSLA 10 %") else { continue }
                rows.append(
                    try measure(
                        "1.3B 480p, loop of 4 steps, \(name), \(linears) linears", 4 * operations,
                        upstream: isPlain ? 1.49 : 2.06, goal: isPlain ? 0.65 : 0.45
                    ) {
                        var x = latents
                        for timestep: Float in [988, 932, 852, 608] {
                            x = try network.velocity(
                                latents: x, timestep: timestep, text: text, attention: attention, workspace: workspace,
                                repeats: true)
                        }
                    })
            }
        }
        return rows
    }

    private func decoder() throws -> [Row] {
        let reader = WeightReader(
            weights.tensors(VAELayout.entries(base: 96, dtype: .bf16)), backend: backend, source: "random weights")
        let vae = try VAE(reader, configuration: VAEConfiguration())
        return try [("480p", 832, 480), ("720p", 1280, 720)].map { name, width, height in
            let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: width, height: height))
            let latents = RandomInput.values(geometry.latentCount)
            return try measure(
                "VAE decode \(name), 81 frames", OperationCounts.decoding(vae.configuration, geometry: geometry),
                upstream: name == "480p" ? 1.82 : 4.16, goal: name == "480p" ? 0.6 : 1.4
            ) {
                try vae.makeDecoder(geometry, chunkFrames: 1, pixelBudget: 4 * width * height)
                    .decodeBytes(latents) { _, _ in }
            }
        }
    }

    /// A photograph and 80 grey frames, as image-to-video wants it.
    private func encoder() throws -> [Row] {
        let reader = WeightReader(
            weights.tensors(VAELayout.entries(base: 96, dtype: .bf16)), backend: backend, source: "random weights")
        let vae = try VAE(reader, configuration: VAEConfiguration())
        let (width, height) = (1280, 720)
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: width, height: height))
        let image = RandomInput.values(3 * width * height)
        return [
            try measure(
                "VAE encode 720p, one picture and 80 grey frames",
                OperationCounts.imageEncoding(vae.configuration, geometry: geometry), upstream: 2.62,
                goal: 0.4
            ) { _ = try vae.makeEncoder(geometry, pixelBudget: 4 * width * height).encode(image) }
        ]
    }

    private func textEncoder() throws -> [Row] {
        let configuration = TextEncoderConfiguration(
            vocabularySize: 256_384, dim: 4096, headDim: 64, headCount: 64, layerCount: 24, feedForwardDim: 10_240)
        let reader = WeightReader(
            weights.tensors(TextEncoderLayout.entries(dtype: .bf16)), backend: backend, source: "random weights")
        let encoder = try TextEncoder(reader, configuration: configuration)
        let ids = (0..<512).map { Int32($0 * 37 % 30_000) }
        return [try measure("umT5-XXL, 512 tokens", nil, upstream: 0.0289, goal: 0.015) { _ = try encoder.encode(ids) }]
    }

    /// A tenth of the blocks, of the sizes that films use on Hopper.
    static func attention(quantized: Bool) -> SparseAttentionOptions {
        SparseAttentionOptions(
            topK: 0.1, queryBlock: quantized ? 64 : 128, keyBlock: quantized ? 128 : 64, quantized: quantized)
    }

    /// What a network's linear layers compute in.
    static func linears(of network: Transformer) -> String {
        network.linearPrecision == .float ? "bf16" : network.linearPrecision.rawValue
    }

    // MARK: Measuring

    func measure(
        _ name: String, _ operations: Double?, upstream: Double? = nil, goal: Double? = nil, runs: Int? = nil,
        _ body: () throws -> Void
    ) throws -> Row {
        try body()
        backend.synchronize()
        backend.resetPeakMemory()
        var times: [Double] = []
        for _ in 0..<min(repetitions, runs ?? repetitions) {
            let start = ContinuousClock.now
            try body()
            backend.synchronize()
            try backend.check()
            times.append(Stopwatch.seconds(since: start))
        }
        times.sort()
        let median = times[times.count / 2]
        let row = Row(
            name: name, seconds: median, fastest: times[0], slowest: times[times.count - 1],
            teraflops: operations.map { $0 / median / 1e12 }, upstreamOnH100: upstream, goal: goal,
            peakBytes: backend.memoryUsage.peak)
        report(row)
        if let profile { profile(name, try backend.profile(body)) }
        return row
    }
}
