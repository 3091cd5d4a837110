/// The canonical names of all settings, in the order in which documentation shows them.
public enum SettingName: String, Hashable, Sendable, Codable, CaseIterable, CodingKeyRepresentable {
    case model
    case resolution
    case aspectRatio = "aspect_ratio"
    case adaptiveResolution = "adaptive_resolution"
    case steps
    case seed
    case frames
    case fps
    case prompt
    case promptPrefix = "prompt_prefix"
    case promptSuffix = "prompt_suffix"
    case sampler
    case boundary
    case exactFirstFrame = "exact_first_frame"
    case sigmaMax = "sigma_max"
    case attention
    case slaTopK = "sla_topk"
    case quantLinear = "quant_linear"
    case variations
    case priority
    case crf
    case outputName = "output_name"
    case contactSheet = "contact_sheet"
    case visibleLabel = "visible_label"
    case after
}

/// One legal value as read, before a model is known.
public enum SettingValue: Hashable, Sendable, Codable {
    case text(String)
    /// A list of prompts.
    case texts([String])
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    /// One seed.
    case seed(SeedChoice)
    /// A list of seeds.
    case seeds([UInt64])
}

/// A value with the place it was read from.
public struct SourcedValue: Hashable, Sendable, Codable {
    public var value: SettingValue
    /// The file as people see it.
    public var source: String
    public var line: Int

    public init(_ value: SettingValue, source: String, line: Int) {
        self.value = value
        self.source = source
        self.line = line
    }

    public var origin: Origin { .file(source, line: line) }
}

/// The settings that one or more files give: what a nearer file says replaces what a farther one said.
public struct SettingLayer: Hashable, Sendable, Codable {
    public var values: [SettingName: SourcedValue]

    public init(_ values: [SettingName: SourcedValue] = [:]) {
        self.values = values
    }

    public subscript(name: SettingName) -> SourcedValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// This layer with `nearer` laid over it.
    public func overlaid(by nearer: SettingLayer) -> SettingLayer {
        SettingLayer(values.merging(nearer.values) { _, new in new })
    }

    /// The folder's prompt or prompts, if its rules give any.
    public var prompts: [String]? {
        switch values[.prompt]?.value {
        case .text(let one): [one]
        case .texts(let many): many
        default: nil
        }
    }
}
