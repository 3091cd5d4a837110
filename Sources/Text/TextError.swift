/// Why a tokenizer cannot be loaded: what happened and where, then what to do about it.
public struct TextError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of failure; decisions depend on this, never on the text.
    public enum Code: String, Sendable {
        /// A file is missing or cannot be read.
        case unreadable
        /// A file is not what it should be.
        case malformed
        /// A well-formed tokenizer of a kind this program does not run.
        case unsupported
    }

    public let code: Code
    public let message: String
    public let hint: String

    public init(code: Code, message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    public var description: String { "\(message) (\(hint))" }
}
