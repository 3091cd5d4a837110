/// Every effective setting of one job, each with its origin. Encodes as `{"steps": {"value": 4, "origin": "default"}, ...}`.
public struct JobSettings: Hashable, Sendable, Codable {
    public var mode: GenerationMode
    /// Canonical name of the model.
    public var model: Setting<String>
    /// A name the model offers ("480p") or a size ("640x368").
    public var resolution: Setting<String>
    public var aspectRatio: Setting<String>
    /// Whether an image's own shape replaces `aspectRatio` at the same area; means nothing for text to video.
    public var adaptiveResolution: Setting<Bool>
    public var steps: Setting<Int>
    public var seed: Setting<SeedChoice>
    public var frames: Setting<Int>
    public var fps: Setting<Int>
    /// The prompt as given, without prefix and suffix.
    public var prompt: Setting<String>
    public var promptPrefix: Setting<String>
    public var promptSuffix: Setting<String>
    public var sampler: Setting<Sampler>
    public var boundary: Setting<Double>
    /// Whether the first latent frame stays the encoded image's; means nothing for text to video.
    public var exactFirstFrame: Setting<Bool>
    public var sigmaMax: Setting<Double>
    public var attention: Setting<AttentionKind>
    public var slaTopK: Setting<Double>
    public var quantLinear: Setting<Bool>
    /// Size of the series this job belongs to (1 for most).
    public var variations: Setting<Int>
    public var priority: Setting<Int>
    public var crf: Setting<Int>
    /// Takes the place of the input's stem in the output's name; empty means the stem.
    public var outputName: Setting<String>
    /// Whether a picture of nine frames goes beside the film.
    public var contactSheet: Setting<Bool>
    /// Written into the first two seconds; empty for none.
    public var visibleLabel: Setting<String>
    public var after: Setting<AfterJob>
    /// What `resolution` and `aspectRatio` mean for the model: the size itself, or, with `adaptiveResolution`
    /// and an image, the area to keep.
    public var size: PixelSize

    enum CodingKeys: String, CodingKey {
        case mode, model, resolution
        case aspectRatio = "aspect_ratio"
        case adaptiveResolution = "adaptive_resolution"
        case steps, seed, frames, fps, prompt
        case promptPrefix = "prompt_prefix"
        case promptSuffix = "prompt_suffix"
        case sampler, boundary
        case exactFirstFrame = "exact_first_frame"
        case sigmaMax = "sigma_max"
        case attention
        case slaTopK = "sla_topk"
        case quantLinear = "quant_linear"
        case variations, priority, crf
        case outputName = "output_name"
        case contactSheet = "contact_sheet"
        case visibleLabel = "visible_label"
        case after, size
    }

    /// The prompt as used: prefix, prompt and suffix, joined by single spaces, white space collapsed.
    public var usedPrompt: String {
        [promptPrefix.value, prompt.value, promptSuffix.value]
            .flatMap { $0.split(whereSeparator: \.isWhitespace) }
            .joined(separator: " ")
    }

    /// Replaces a random seed by the one that was drawn; a fixed one stays.
    public mutating func fixSeed(_ drawn: UInt64) {
        if seed.value == .random { seed.value = .fixed(drawn) }
    }

    /// The seed once it is fixed; nil while it is `random`.
    public var fixedSeed: UInt64? {
        if case .fixed(let number) = seed.value { number } else { nil }
    }
}

/// Settings that jobs of earlier versions, still in a ledger, do not have. The decoding that the compiler writes for
/// `JobSettings` finds these overloads before the general one.
extension KeyedDecodingContainer where Key == JobSettings.CodingKeys {
    func decode(_ type: Setting<Bool>.Type, forKey key: Key) throws -> Setting<Bool> {
        switch key {
        case .contactSheet: try decodeIfPresent(type, forKey: key) ?? Setting(true, .standard)
        case .exactFirstFrame: try decodeIfPresent(type, forKey: key) ?? Setting(false, .standard)
        default: try decodePlainly(type, key)
        }
    }

    func decode(_ type: Setting<String>.Type, forKey key: Key) throws -> Setting<String> {
        if key == .visibleLabel { return try decodeIfPresent(type, forKey: key) ?? Setting("", .standard) }
        return try decodePlainly(type, key)
    }

    private func decodePlainly<Value: Decodable>(_ type: Value.Type, _ key: Key) throws -> Value {
        try decode(type, forKey: key)
    }
}
