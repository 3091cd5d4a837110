import Glibc

/// A path below a watched root, in valid UTF-8, components joined by "/"; "" is the root itself.
///
/// Two paths are equal when their bytes are: unlike `String`, the composed and the decomposed form of "é" stay two
/// files, as they are on the disk.
public struct RelativePath: Sendable, CustomStringConvertible {
    public let string: String

    public init(_ string: String) {
        self.string = string
    }

    public static let root = RelativePath("")

    public var isRoot: Bool { string.isEmpty }
    public var description: String { string }

    /// The last component; "" for the root.
    public var name: String {
        string.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(string[string.utf8.index(after: $0)...]) } ?? string
    }

    /// The folder it lies in; the root for the root.
    public var parent: RelativePath {
        string.utf8.lastIndex(of: UInt8(ascii: "/")).map { RelativePath(String(string[..<$0])) } ?? .root
    }

    public var components: [String] {
        string.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
    }

    public func appending(_ name: String) -> RelativePath {
        RelativePath(string.isEmpty ? name : string + "/" + name)
    }

    /// Whether it is `folder` or lies below it.
    public func isWithin(_ folder: RelativePath) -> Bool {
        if folder.isRoot { return true }
        guard string.utf8.starts(with: folder.string.utf8) else { return false }
        return string.utf8.count == folder.string.utf8.count
            || string.utf8.dropFirst(folder.string.utf8.count).first == UInt8(ascii: "/")
    }
}

extension RelativePath: Hashable, Comparable {
    public static func == (a: RelativePath, b: RelativePath) -> Bool {
        order(a, b) == 0
    }

    public func hash(into hasher: inout Hasher) {
        var text = string
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public static func < (a: RelativePath, b: RelativePath) -> Bool {
        order(a, b) < 0
    }

    /// Below, at or above zero as the bytes of one come before, are, or come after those of the other.
    private static func order(_ a: RelativePath, _ b: RelativePath) -> Int {
        var (first, second) = (a.string, b.string)
        return first.withUTF8 { left in
            second.withUTF8 { right in
                let common = min(left.count, right.count)
                let difference = common == 0 ? 0 : Int(memcmp(left.baseAddress!, right.baseAddress!, common))
                return difference != 0 ? difference : left.count - right.count
            }
        }
    }
}

extension RelativePath: Codable {
    public init(from decoder: any Decoder) throws {
        string = try decoder.singleValueContainer().decode(String.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(string)
    }
}
