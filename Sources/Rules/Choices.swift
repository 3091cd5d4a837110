/// How the state moves from one timestep to the next.
public enum Sampler: String, Hashable, Sendable, Codable, CaseIterable {
    case ode, sde
}

/// Self-attention of the transformer: exact, sparse-linear, or sparse-linear in low precision.
public enum AttentionKind: String, Hashable, Sendable, Codable, CaseIterable {
    case original, sla, sagesla
}

/// What becomes of an input when its job is finished.
public enum AfterJob: String, Hashable, Sendable, Codable, CaseIterable {
    case move, keep, delete
}

/// The seed of one job.
public enum SeedChoice: Hashable, Sendable {
    case fixed(UInt64)
    /// Drawn once, when the job is accepted.
    case random
}

extension SeedChoice: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(UInt64.self) {
            self = .fixed(number)
        } else {
            let word = try container.decode(String.self)
            guard word == "random" else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "a number or \"random\"")
            }
            self = .random
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .fixed(let number): try container.encode(number)
        case .random: try container.encode("random")
        }
    }
}

extension SeedChoice: CustomStringConvertible {
    public var description: String {
        switch self {
        case .fixed(let number): "\(number)"
        case .random: "random"
        }
    }
}
