/// What one model can do, handed in by whoever knows the installed checkpoints; `Rules` itself knows no model.
public struct ModelLimits: Hashable, Sendable, Codable {
    /// Values a model prefers in one mode; nil leaves the setting's general default.
    public struct Defaults: Hashable, Sendable, Codable {
        public var sampler: Sampler?
        public var sigmaMax: Double?
        public var boundary: Double?
        public var exactFirstFrame: Bool?
        public var attention: AttentionKind?
        public var slaTopK: Double?
        /// Of films with fewer frames than `defaultFrames`, or of another shape than `defaultAspectRatio`.
        public var slaTopKOfOtherFilms: Double?

        public init(
            sampler: Sampler? = nil, sigmaMax: Double? = nil, boundary: Double? = nil,
            exactFirstFrame: Bool? = nil, attention: AttentionKind? = nil, slaTopK: Double? = nil,
            slaTopKOfOtherFilms: Double? = nil
        ) {
            self.sampler = sampler
            self.sigmaMax = sigmaMax
            self.boundary = boundary
            self.exactFirstFrame = exactFirstFrame
            self.attention = attention
            self.slaTopK = slaTopK
            self.slaTopKOfOtherFilms = slaTopKOfOtherFilms
        }
    }

    /// Canonical name, as logs and output names show it: `Wan2.1-1.3B`.
    public var name: String
    /// Other names that mean this model, for example a family shared by its T2V and I2V members.
    public var aliases: [String]
    public var modes: [GenerationMode]
    /// Resolution name ("480p") -> aspect ratio ("16:9") -> size.
    public var resolutions: [String: [String: PixelSize]]
    public var defaultResolution: String
    public var defaultAspectRatio: String
    /// Width and height written as "640x368" must be multiples of this.
    public var sideMultiple: Int
    /// Shortest and longest side of a size written as "640x368", in pixels.
    public var sideRange: ClosedRange<Int>
    /// Largest width x height.
    public var maximumPixels: Int
    /// Legal frame counts (those of the form 4n+1 within it).
    public var frameRange: ClosedRange<Int>
    public var defaultFrames: Int
    public var defaultFPS: Int
    public var attentionKinds: [AttentionKind]
    /// Where `defaults` of the mode says nothing.
    public var defaultAttention: AttentionKind
    /// Where `defaults` of the mode says nothing.
    public var defaultSlaTopK: Double
    public var defaultQuantLinear: Bool
    /// Whether int8 linears are possible with this checkpoint.
    public var quantLinearAvailable: Bool
    public var defaults: [GenerationMode: Defaults]

    public init(
        name: String, aliases: [String] = [], modes: [GenerationMode],
        resolutions: [String: [String: PixelSize]], defaultResolution: String, defaultAspectRatio: String = "16:9",
        sideMultiple: Int = 16, sideRange: ClosedRange<Int> = 64...1920, maximumPixels: Int = 1280 * 720,
        frameRange: ClosedRange<Int> = 33...161, defaultFrames: Int = 81, defaultFPS: Int = 16,
        attentionKinds: [AttentionKind] = AttentionKind.allCases, defaultAttention: AttentionKind = .sagesla,
        defaultSlaTopK: Double = 0.1, defaultQuantLinear: Bool = false, quantLinearAvailable: Bool = true,
        defaults: [GenerationMode: Defaults] = [:]
    ) {
        self.name = name
        self.aliases = aliases
        self.modes = modes
        self.resolutions = resolutions
        self.defaultResolution = defaultResolution
        self.defaultAspectRatio = defaultAspectRatio
        self.sideMultiple = sideMultiple
        self.sideRange = sideRange
        self.maximumPixels = maximumPixels
        self.frameRange = frameRange
        self.defaultFrames = defaultFrames
        self.defaultFPS = defaultFPS
        self.attentionKinds = attentionKinds
        self.defaultAttention = defaultAttention
        self.defaultSlaTopK = defaultSlaTopK
        self.defaultQuantLinear = defaultQuantLinear
        self.quantLinearAvailable = quantLinearAvailable
        self.defaults = defaults
    }
}

/// The installed models and which one a mode takes when no rule names one.
public struct ModelCatalogue: Hashable, Sendable, Codable {
    public var models: [ModelLimits]
    /// Canonical names; a mode without an entry takes the first model that offers it.
    public var defaultModels: [GenerationMode: String]

    public init(models: [ModelLimits], defaultModels: [GenerationMode: String] = [:]) {
        self.models = models
        self.defaultModels = defaultModels
    }

    /// The model for a mode when no rule names one.
    public func defaultModel(for mode: GenerationMode) -> ModelLimits? {
        if let name = defaultModels[mode], let model = lookup(name).first(where: { $0.modes.contains(mode) }) {
            return model
        }
        return models.first { $0.modes.contains(mode) }
    }

    /// Every model of that name or alias, ignoring case.
    public func lookup(_ name: String) -> [ModelLimits] {
        let key = NameKey.fold(name)
        let exact = models.filter { NameKey.fold($0.name) == key }
        return exact.isEmpty ? models.filter { $0.aliases.contains { NameKey.fold($0) == key } } : exact
    }
}
