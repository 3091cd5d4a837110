import Foundation

/// What a `tokenizer.json` says beyond the SentencePiece model beside it. Its vocabulary is the model's and is not read.
struct TokenizerSettings: Sendable {
    /// A token that is recognised in the text itself.
    struct Token: Sendable {
        let id: Int32
        let content: [Unicode.Scalar]
        /// Takes the white space before or behind it with it.
        let stripsLeft: Bool
        let stripsRight: Bool
        /// Only where no letter or number touches it.
        let isWord: Bool
    }

    enum Prefix: String, Sendable { case always, first, never }

    let tokens: [Token]
    let unknownID: Int32
    let byteFallback: Bool
    let prefix: Prefix
    let splits: Bool

    private struct File: Decodable {
        struct AddedToken: Decodable {
            let id: Int32
            let content: String
            let singleWord: Bool?
            let lstrip: Bool?
            let rstrip: Bool?
        }
        struct PreTokenizer: Decodable {
            let type: String
            let prependScheme: String?
            let addPrefixSpace: Bool?
            let split: Bool?
            let pretokenizers: [PreTokenizer]?
        }
        struct Model: Decodable {
            let type: String?
            let unkId: Int32?
            let byteFallback: Bool?
        }
        let addedTokens: [AddedToken]?
        let preTokenizer: PreTokenizer?
        let model: Model
    }

    /// - Parameter path: for errors.
    init(_ json: Data, path: String) throws(TextError) {
        let file: File
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            file = try decoder.decode(File.self, from: json)
        } catch {
            throw TextError(
                code: .malformed, message: "\(path): not a tokenizer: \(error)", hint: "fetch the tokenizer again")
        }
        guard file.model.type ?? "Unigram" == "Unigram", let unknown = file.model.unkId else {
            throw TextError(
                code: .unsupported,
                message: "\(path): a \(file.model.type ?? "tokenizer without unk_id"), not a Unigram",
                hint: "use the tokenizer that belongs to umT5")
        }
        tokens = (file.addedTokens ?? []).map {
            Token(
                id: $0.id, content: Array($0.content.unicodeScalars), stripsLeft: $0.lstrip ?? false,
                stripsRight: $0.rstrip ?? false, isWord: $0.singleWord ?? false)
        }.filter { !$0.content.isEmpty }
        unknownID = unknown
        byteFallback = file.model.byteFallback ?? false
        let metaspace = ([file.preTokenizer].compactMap(\.self) + (file.preTokenizer?.pretokenizers ?? []))
            .first { $0.type == "Metaspace" }
        guard let metaspace else {
            throw TextError(
                code: .unsupported, message: "\(path): no Metaspace pre-tokenizer",
                hint: "use the tokenizer that belongs to umT5")
        }
        prefix =
            metaspace.prependScheme.flatMap(Prefix.init) ?? (metaspace.addPrefixSpace ?? true ? .always : .never)
        splits = metaspace.split ?? true
    }
}
