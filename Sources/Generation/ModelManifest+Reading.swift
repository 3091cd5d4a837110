import Foundation
import Sampling

extension ModelManifest {
    /// Most bytes of a manifest.
    static let byteLimit = 1 << 16

    /// Reads and checks a manifest.
    /// - Throws: `GenerationError` `.manifest` that names file and key.
    public init(json data: Data, file: String = ModelManifest.fileName) throws {
        guard data.count <= Self.byteLimit else {
            throw GenerationError(.manifest, "\(file): larger than 64 KiB", hint: "this is no manifest")
        }
        let root = try ManifestReader(json: data, file: file)
        try root.allow([
            "name", "version", "modes", "vae", "text_encoder", "tokenizer", "resolutions", "default_resolution",
            "default_aspect_ratio", "frames", "fps", "defaults",
        ])
        name = try root.required("name").text()
        version = try root.required("version").text()
        modes = try Self.modes(root.required("modes"))
        vae = try root.required("vae").fileName()
        textEncoder = try root.required("text_encoder").fileName()
        tokenizer = try root.required("tokenizer").fileName()
        resolutions = try root.optional("resolutions").map { ResolutionTable(try Self.sizes($0)) } ?? .wan
        defaultAspectRatio = try root.optional("default_aspect_ratio")?.text() ?? "16:9"
        let smallest = resolutions.sizes.min { Self.area($0) < Self.area($1) }?.key ?? ""
        defaultResolution = try root.optional("default_resolution")?.text() ?? smallest
        do {
            _ = try resolutions.size(resolution: defaultResolution, aspectRatio: defaultAspectRatio)
        } catch {
            throw GenerationError(.manifest, "\(file): default_resolution: \(error.message)", hint: error.hint)
        }
        frames = try Self.frames(root.optional("frames"))
        framesPerSecond = try root.optional("fps")?.int(1...240) ?? 16
        defaults = try Self.defaults(root.optional("defaults"))
    }

    /// Pixels of a resolution's smallest size, then its name.
    private static func area(_ entry: (key: String, value: [String: FrameSize])) -> (Int, String) {
        (entry.value.values.map(\.area).min() ?? 0, entry.key)
    }

    private static func modes(_ reader: ManifestReader) throws -> [GenerationMode: Networks] {
        try reader.allow(GenerationMode.allCases.map(\.rawValue))
        var modes: [GenerationMode: Networks] = [:]
        for mode in GenerationMode.allCases {
            guard let part = try reader.optional(mode.rawValue) else { continue }
            if let single = try part.optional("transformer") {
                try part.allow(["transformer"])
                modes[mode] = .single(try single.fileName())
            } else {
                try part.allow(["transformer", "high_noise", "low_noise"])
                modes[mode] = .experts(
                    highNoise: try part.required("high_noise").fileName(),
                    lowNoise: try part.required("low_noise").fileName())
            }
        }
        guard !modes.isEmpty else { throw reader.fail("names no mode", hint: "add t2v or i2v") }
        return modes
    }

    private static func sizes(_ reader: ManifestReader) throws -> [String: [String: FrameSize]] {
        var table: [String: [String: FrameSize]] = [:]
        for resolution in try reader.keys() {
            let row = try reader.required(resolution)
            for ratio in try row.keys() {
                let cell = try row.required(ratio)
                let (width, height) = try cell.pair()
                guard width % 16 == 0, height % 16 == 0 else {
                    throw cell.fail("is \(width)x\(height)", hint: "use multiples of 16")
                }
                table[resolution, default: [:]][ratio] = FrameSize(width: width, height: height)
            }
            guard table[resolution] != nil else { throw row.fail("is empty", hint: "add sizes or leave it out") }
        }
        guard !table.isEmpty else { throw reader.fail("is empty", hint: "add sizes or leave it out") }
        return table
    }

    private static func frames(_ reader: ManifestReader?) throws -> FrameCounts {
        var counts = FrameCounts(standard: 81, minimum: 33, maximum: 161)
        guard let reader else { return counts }
        try reader.allow(["default", "minimum", "maximum"])
        func count(_ key: String, _ standard: Int) throws -> Int {
            guard let part = try reader.optional(key) else { return standard }
            let count = try part.int(1...10_001)
            guard count % 4 == 1 else {
                throw part.fail("is \(count)", hint: "use 4n + 1, such as \(count / 4 * 4 + 1)")
            }
            return count
        }
        counts.standard = try count("default", counts.standard)
        counts.minimum = try count("minimum", min(counts.minimum, counts.standard))
        counts.maximum = try count("maximum", max(counts.maximum, counts.standard))
        guard (counts.minimum...max(counts.minimum, counts.maximum)).contains(counts.standard) else {
            throw reader.fail("has its default outside minimum to maximum", hint: "correct one of the three")
        }
        return counts
    }

    /// Source of what is left out: TurboDiffusion's command-line defaults; `ode` for pictures as its authors advise.
    private static func defaults(_ reader: ManifestReader?) throws -> Defaults {
        var defaults = Defaults(
            attention: [.t2v: .sagesla, .i2v: .sagesla], slaTopK: [.t2v: 0.1, .i2v: 0.1],
            slaTopKOfOtherFilms: [:], steps: 4, quantizesLinears: false, boundary: 0.9, exactFirstFrame: false,
            sigmaMax: [.t2v: 80, .i2v: 200], sampler: [.t2v: .sde, .i2v: .ode])
        guard let reader else { return defaults }
        try reader.allow([
            "attention", "sla_topk", "sla_topk_other", "steps", "quant_linear", "boundary", "exact_first_frame",
            "sigma_max", "sampler",
        ])
        try each(reader.optional("attention"), into: &defaults.attention) { try $0.choice(AttentionChoice.self) }
        try each(reader.optional("sla_topk"), into: &defaults.slaTopK) { try $0.double(0.001...1) }
        try each(reader.optional("sla_topk_other"), into: &defaults.slaTopKOfOtherFilms) { try $0.double(0.001...1) }
        if let part = try reader.optional("steps") { defaults.steps = try part.int(1...Schedule.maximumSteps) }
        if let part = try reader.optional("quant_linear") { defaults.quantizesLinears = try part.bool() }
        if let part = try reader.optional("boundary") { defaults.boundary = try part.double(0...1) }
        if let part = try reader.optional("exact_first_frame") { defaults.exactFirstFrame = try part.bool() }
        try each(reader.optional("sigma_max"), into: &defaults.sigmaMax) { try $0.double(0.01...1e6) }
        try each(reader.optional("sampler"), into: &defaults.sampler) { try $0.choice(SamplerKind.self) }
        return defaults
    }

    /// One value for all modes, or an object with one for each.
    private static func each<Value>(
        _ part: ManifestReader?, into values: inout [GenerationMode: Value], read: (ManifestReader) throws -> Value
    ) throws {
        guard let part else { return }
        guard part.isObject else {
            let value = try read(part)
            for mode in GenerationMode.allCases { values[mode] = value }
            return
        }
        try part.allow(GenerationMode.allCases.map(\.rawValue))
        for mode in GenerationMode.allCases {
            if let value = try part.optional(mode.rawValue) { values[mode] = try read(value) }
        }
    }
}
