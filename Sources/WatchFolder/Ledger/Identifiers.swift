import Foundation

/// Names one job for ever: in the ledger, in logs, in staging folders. Sorts by time of acceptance.
public struct JobID: Hashable, Sendable, Codable, CustomStringConvertible {
    public let text: String

    /// - Returns: nil unless `text` could have been made here (so it is safe as a file name).
    public init?(_ text: String) {
        let legal = text.utf8.allSatisfy { (48...57).contains($0) || (97...122).contains($0) }
        guard legal, (8...40).contains(text.utf8.count) else { return nil }
        self.text = text
    }

    /// A new one: milliseconds since 1970 and 80 random bits, both in base 36.
    public init(at time: Date) {
        let milliseconds = UInt64(max(0, time.timeIntervalSince1970 * 1000))
        text =
            Self.padded(milliseconds, 9) + Self.padded(.random(in: 0..<1 << 40), 8)
            + Self.padded(.random(in: 0..<1 << 40), 8)
    }

    private static func padded(_ value: UInt64, _ width: Int) -> String {
        let digits = String(value, radix: 36)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let id = JobID(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not the id of a job")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    public var description: String { text }
}
