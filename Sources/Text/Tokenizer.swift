import Foundation

/// Token ids of a prompt, ready for the text encoder.
public struct TokenIDs: Sendable, Hashable {
    /// As many as the encoder takes rows, zero behind the true length.
    public let ids: [Int32]
    /// Ids that mean something, the end marker included.
    public let length: Int

    public init(ids: [Int32], length: Int) {
        precondition(length <= ids.count, "\(length) of \(ids.count) ids")
        (self.ids, self.length) = (ids, length)
    }
}

/// What a tokenizer does where implementations differ.
public struct TokenizerOptions: Sendable, Hashable {
    public enum Semantics: String, Sendable {
        /// Hugging Face's fast tokenizer where a `tokenizer.json` lies beside the model, else SentencePiece.
        case automatic
        /// SentencePiece alone, also with a `tokenizer.json`.
        case sentencePiece
    }

    public var semantics: Semantics
    /// Whether unknown text becomes bytes; nil for what `tokenizer.json` says. SentencePiece follows its model.
    public var byteFallback: Bool?
    /// Rows of the encoder.
    public var length: Int

    public init(semantics: Semantics = .automatic, byteFallback: Bool? = nil, length: Int = 512) {
        self.semantics = semantics
        self.byteFallback = byteFallback
        self.length = length
    }
}

/// Splits text into the ids of a unigram SentencePiece model.
///
/// With a `tokenizer.json` beside the model it does as the fast tokenizer, which is what the models were run with:
/// special tokens in the text are recognised, unknown characters become one unknown token a run, or their bytes if
/// `model.byte_fallback` says so. Without one, the library's own result stands.
/// Source: transformers T5TokenizerFast; tokenizers Precompiled, Metaspace, Unigram.
public final class Tokenizer: Sendable {
    public let options: TokenizerOptions
    /// Ids the model knows; the encoder's embedding has at least as many rows.
    public let vocabularySize: Int
    /// The end marker, `</s>`.
    public let endID: Int32
    private let model: SentencePieceModel
    private let fast: FastTokenizer?

    /// The model's file within its folder.
    public static let modelName = "spiece.model"
    static let settingsName = "tokenizer.json"

    /// Loads `spiece.model` and, where it is there, `tokenizer.json` of a folder.
    /// - Parameter path: the folder or the model itself.
    /// - Throws: `TextError`.
    public init(_ path: String, options: TokenizerOptions = TokenizerOptions()) throws(TextError) {
        precondition(options.length > 1, "no room for a token and the end marker")
        self.options = options
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let file = exists && isFolder.boolValue ? URL(filePath: path).appending(path: Self.modelName).path : path
        model = try SentencePieceModel([UInt8](Self.read(file)), path: file)
        guard model.endID >= 0 else {
            throw TextError(
                code: .unsupported, message: "\(file): no end marker", hint: "use the tokenizer that belongs to umT5")
        }
        endID = model.endID
        let settingsFile = URL(filePath: file).deletingLastPathComponent().appending(path: Self.settingsName).path
        if options.semantics == .automatic, FileManager.default.fileExists(atPath: settingsFile) {
            let settings = try TokenizerSettings(Self.read(settingsFile), path: settingsFile)
            fast = try FastTokenizer(
                model, settings, byteFallback: options.byteFallback ?? settings.byteFallback, path: file)
            vocabularySize = max(model.count, Int(settings.tokens.map(\.id).max() ?? -1) + 1)
        } else {
            fast = nil
            vocabularySize = model.count
        }
    }

    private static func read(_ path: String) throws(TextError) -> Data {
        do {
            return try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)
        } catch {
            throw TextError(
                code: .unreadable, message: "\(path): \(error.localizedDescription)",
                hint: "a tokenizer is a folder with \(Self.modelName) and tokenizer.json")
        }
    }

    /// The ids of a text that has been cleaned (`cleanPrompt`): at most `length - 1` of them, the end marker, zeros.
    ///
    /// Only the first `promptScalarLimit` characters are looked at.
    public func encode(_ text: String) -> TokenIDs {
        let text =
            text.unicodeScalars.count > promptScalarLimit
            ? String(String.UnicodeScalarView(text.unicodeScalars.prefix(promptScalarLimit))) : text
        let room = options.length - 1
        var ids = fast?.encode(text, limit: room) ?? model.encode(text, limit: room)
        ids.append(endID)
        let length = ids.count
        ids += [Int32](repeating: 0, count: options.length - length)
        return TokenIDs(ids: ids, length: length)
    }
}
