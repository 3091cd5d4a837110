/// Why a checkpoint cannot be used: what happened and where, then what to do about it.
public struct CheckpointError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of failure; decisions depend on this, never on the text.
    public enum Code: String, Sendable {
        /// The file cannot be opened, mapped or written.
        case unreadable
        /// Neither safetensors, nor a shard index, nor a PyTorch zip archive.
        case notACheckpoint
        /// The container breaks its own format.
        case malformed
        /// A well-formed container that holds something this reader does not take (a data type, a legacy layout).
        case unsupported
        /// A pickle names a class or function outside the allow-list.
        case forbiddenGlobal
        /// A limit on size, depth or count was passed.
        case limit
        case missingTensor
        case unexpectedTensor
        case shapeMismatch
        case typeMismatch
        /// The tensors fit no known model.
        case unknownModel
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

    static let replaceHint =
        "the file is damaged or was made by something else; fetch or convert it again"

    static func malformed(_ path: String, _ what: String) -> CheckpointError {
        CheckpointError(code: .malformed, message: "\(path): \(what)", hint: replaceHint)
    }

    static func unsupported(_ path: String, _ what: String, hint: String) -> CheckpointError {
        CheckpointError(code: .unsupported, message: "\(path): \(what)", hint: hint)
    }
}
