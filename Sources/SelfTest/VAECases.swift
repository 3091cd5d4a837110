import Checkpoints
import Sampling
import Tensors
import Wan

/// `vae`: encodings, decodings, their 8-bit frames and intermediates.
enum VAECases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        var models: [String: VAE] = [:]
        try section.eachCase(note) { record, _ in
            let path = try record["weights"].string
            let vae = try models[path] ?? load(section, path, section.root)
            models[path] = vae
            switch try record["op"].string {
            case "encode": return try encode(section, record, vae)
            case "decode": return try decode(section, record, vae)
            case let other: throw CaseError("unknown op \(other)")
            }
        }
    }

    /// - Parameter statistics: holds `config`, `latents_mean` and `latents_std`, where the case states them.
    static func load(_ section: Section, _ path: String, _ statistics: Record) throws -> VAE {
        let weights = try canonicalVAE(section.file(path))
        var configuration = VAEConfiguration(weights.layout)
        if let means = statistics.optional("latents_mean") {
            configuration.latentMeans = try means.doubles.map { Float($0) }
        }
        if let deviations = statistics.optional("latents_std") {
            configuration.latentDeviations = try deviations.doubles.map { Float($0) }
        }
        if let config = statistics.optional("config") {
            guard try config["dim"].int == configuration.decoderDim,
                try config["z_dim"].int == configuration.latentChannels,
                try config["dim_mult"].ints == configuration.multipliers,
                try config["num_res_blocks"].int == configuration.residualBlocks,
                try config["temperal_downsample"].array.map({ try $0.bool }) == configuration.halvesTime,
                try config["attn_scales"].array.isEmpty
            else { throw CaseError("config does not fit the weights \(path)") }
        }
        return try VAE(
            WeightReader(weights.tensors, backend: section.backend, source: path), configuration: configuration)
    }

    private static func encode(_ section: Section, _ record: Record, _ vae: VAE) throws -> [Measurement] {
        let file = try record["file"].string
        let isVideo = try section.file(file).names.contains("video")
        let frames = try section.tensor(isVideo ? "video" : "image", in: file)
        let size = try record["size_hw"].ints
        guard frames.shape.count == 5, frames.shape[0] == 1, size.count == 2, Array(frames.shape[3...]) == size else {
            throw CaseError("\(file): frames of shape \(frames.shape)")
        }
        let frameCount = try record["frames"].int
        let geometry = LatentGeometry(
            latentFrames: (frameCount - 1) / 4 + 1, latentHeight: size[0] / 8, latentWidth: size[1] / 8)
        guard frameCount >= 1, geometry.frameCount == frameCount else { throw CaseError("\(frameCount) frames") }
        let encoder = try vae.makeEncoder(geometry)
        let found = try encoder.encode(frames.floats())
        let expected = try section.tensor("expected", in: file).floats()
        return [
            Measurement(
                what: "latents", error: relativeL2(found, expected), limit: try section.tolerance(record),
                measure: "rel L2")
        ]
    }

    private static func decode(_ section: Section, _ record: Record, _ vae: VAE) throws -> [Measurement] {
        let file = try record["file"].string
        let latents = try section.tensor("latent", in: file)
        guard latents.shape.count == 5, latents.shape[0] == 1 else {
            throw CaseError("\(file): latents of shape \(latents.shape)")
        }
        let tolerance = try section.tolerance(record)
        let geometry = LatentGeometry(
            latentFrames: latents.shape[2], latentHeight: latents.shape[3], latentWidth: latents.shape[4])
        let probe = try record.optional("intermediates").map { try VAEProbe(section, section.fileName($0), tolerance) }
        // One latent frame at a time and whole frames at every level, as the intermediates were taken.
        let decoder = try vae.makeDecoder(geometry, chunkFrames: 1, pixelBudget: .max, observe: probe?.observe)
        var (rows, bytes): ([Float], [UInt8]) = ([], [])
        try decoder.decode(latents.floats()) { frames in
            rows += section.backend.download(frames)
            let quantized = try section.backend.allocate(frames.shape, .u8)
            section.backend.quantizeFrames(frames, into: quantized)
            bytes += section.backend.downloadBytes(quantized)
        }
        let expected = try section.tensor("expected", in: file).floats()
        var measurements = [
            Measurement(
                what: "video", error: relativeL2(channelsFirst(rows, channels: 3), expected), limit: tolerance,
                measure: "rel L2")
        ]
        if let probe { measurements += try probe.finish() }
        if try section.file(file).names.contains("uint8") {
            let stated = try section.tensor("uint8", in: file).floats()
            let found = channelsFirst(bytes.map(Float.init), channels: 3)
            // The rounding alone, from the stated video, must be exact; after our own decoding a value near a half
            // may fall to the other side.
            measurements += [
                try quantization(section, expected, stated),
                Measurement(
                    what: "uint8", error: maximumDifference(found, stated),
                    limit: section.computesInFloat32 ? 1 : .infinity, measure: "max abs"),
            ]
        }
        return measurements
    }

    private static func quantization(_ section: Section, _ video: [Float], _ stated: [Float]) throws -> Measurement {
        let input = try section.backend.upload(HostTensor(shape: [1, 1, video.count / 3, 3], values: video), as: .f32)
        let output = try section.backend.allocate(input.shape, .u8)
        section.backend.quantizeFrames(input, into: output)
        let found = section.backend.downloadBytes(output).map(Float.init)
        return Measurement(
            what: "rounding to uint8", error: maximumDifference(found, stated), limit: 0, measure: "max abs")
    }

    /// `[n..., channels]` -> `[channels, n...]`.
    static func channelsFirst(_ rows: [Float], channels: Int) -> [Float] {
        let count = rows.count / channels
        var result = [Float](repeating: 0, count: rows.count)
        for index in 0..<count {
            for channel in 0..<channels { result[channel * count + index] = rows[index * channels + channel] }
        }
        return result
    }
}

/// Compares what happens inside a decoding with a file of module outputs, `<module>.chunk<n>` or `<module>` whole.
final class VAEProbe {
    private let section: Section
    private let file: String
    private let tolerance: Double
    private var pending: Set<String>
    private var calls: [String: Int] = [:]
    private var whole: [String: [Float]] = [:]
    private var measurements: [Measurement] = []

    init(_ section: Section, _ file: String, _ tolerance: Double) throws {
        (self.section, self.file, self.tolerance) = (section, file, tolerance)
        pending = Set(try section.file(file).names)
    }

    /// An observer for `VAE.makeDecoder`; tensors are `[T, H, W, C]`.
    func observe(_ module: String, _ tensor: Tensor) throws {
        let call = calls[module, default: 0]
        calls[module] = call + 1
        let channels = tensor.shape[3]
        if pending.remove("\(module).chunk\(call)") != nil {
            try compare(
                "\(module).chunk\(call)", VAECases.channelsFirst(section.backend.download(tensor), channels: channels))
        }
        if pending.contains(module) {
            whole[module, default: []] += section.backend.download(tensor)
            let shape = try section.tensor(module, in: file).shape
            guard whole[module]!.count == shape.reduce(1, *) else { return }
            pending.remove(module)
            try compare(module, VAECases.channelsFirst(whole[module]!, channels: channels))
        }
    }

    func finish() throws -> [Measurement] {
        if let missed = pending.sorted().first { throw CaseError("\(file): \(missed) was never reached") }
        return measurements
    }

    private func compare(_ name: String, _ found: [Float]) throws {
        let expected = try section.tensor(name, in: file).floats()
        measurements.append(
            Measurement(what: name, error: relativeL2(found, expected), limit: tolerance, measure: "rel L2"))
    }
}
