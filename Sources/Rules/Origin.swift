/// Where an effective value came from, as people read it: `default`, `rules/default.toml line 3`,
/// `cat.prompt line 2`, `default of Wan2.1-1.3B`.
public struct Origin: Hashable, Sendable, Codable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }

    public init(from decoder: any Decoder) throws {
        description = try decoder.singleValueContainer().decode(String.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    /// The program's own default, the same for every model.
    public static let standard = Origin("default")

    /// Given with a verb on the command line.
    public static let commandLine = Origin("command line")

    /// A default that belongs to one model.
    public static func model(_ name: String) -> Origin {
        Origin("default of \(name)")
    }

    /// A line of a rule or prompt file.
    public static func file(_ name: String, line: Int) -> Origin {
        Origin("\(name) line \(line)")
    }
}

/// One effective value with its origin.
public struct Setting<Value: Hashable & Sendable & Codable>: Hashable, Sendable, Codable {
    public var value: Value
    public var origin: Origin

    public init(_ value: Value, _ origin: Origin = .standard) {
        self.value = value
        self.origin = origin
    }
}
