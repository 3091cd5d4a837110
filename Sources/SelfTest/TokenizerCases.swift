import Foundation
import Text

/// `tokenizer`: cleaning and token ids, one line for each category of each file, with the number of texts.
enum TokenizerCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        let files = try section.root["files"].strings
        guard !files.isEmpty else { throw CaseError("no files in it") }
        for file in files {
            do {
                let record = try Record(file: section.url(file))
                let cases = try record["cases"].array
                guard !cases.isEmpty else { throw CaseError("no case in it") }
                let tokenizers = try record.optional("tokenizer").map { try Tokenizers(section.url($0.string).path) }
                var byCategory: [String: [Record]] = [:]
                for item in cases {
                    byCategory[try item.optional("category")?.string ?? "text", default: []].append(item)
                }
                for (category, items) in byCategory.sorted(by: { $0.key < $1.key }) {
                    note(line(section, "\(file) \(category)", items, tokenizers))
                }
            } catch {
                note(SelfTest.Line(kind: section.kind, name: file, detail: text(of: error), passed: false))
            }
        }
    }

    /// One vocabulary under the semantics the files state results for.
    private struct Tokenizers {
        let standard: Tokenizer
        let bytes: Tokenizer
        let library: Tokenizer

        init(_ path: String) throws {
            standard = try Tokenizer(path)
            bytes = try Tokenizer(path, options: TokenizerOptions(byteFallback: true))
            library = try Tokenizer(path, options: TokenizerOptions(semantics: .sentencePiece))
        }
    }

    private static func line(
        _ section: Section, _ name: String, _ items: [Record], _ tokenizers: Tokenizers?
    ) -> SelfTest.Line {
        var (wrong, byLibrary): ([String], Int) = ([], 0)
        for item in items {
            do {
                let outcome = try compare(item, tokenizers)
                if outcome == .likeLibrary { byLibrary += 1 }
            } catch {
                wrong.append("\((try? item["text"].string.debugDescription) ?? item.path): \(text(of: error))")
            }
        }
        let like = byLibrary > 0 ? ", \(byLibrary) as spm_ids" : ""
        let detail =
            wrong.isEmpty
            ? "\(items.count) texts equal\(like)"
            : "\(wrong.count) of \(items.count) texts differ; \(wrong.prefix(3).joined(separator: "; "))"
        return SelfTest.Line(kind: section.kind, name: name, detail: detail, passed: wrong.isEmpty)
    }

    private enum Outcome { case equal, likeLibrary }

    private static func compare(_ item: Record, _ tokenizers: Tokenizers?) throws -> Outcome {
        let text = try item["text"].string
        if let fixed = item.optional("ftfy") {
            guard try equal(fixText(text), fixed.string) else {
                throw CaseError("fixed to \(fixText(text).debugDescription)")
            }
            return .equal
        }
        guard let tokenizers else { throw CaseError("the file names no tokenizer") }
        let clean = cleanPrompt(text)
        guard try equal(clean, item["clean"].string) else { throw CaseError("cleaned to \(clean.debugDescription)") }
        func ids(_ tokenizer: Tokenizer) -> [Int] {
            let tokens = tokenizer.encode(clean)
            return tokens.ids.prefix(tokens.length).map { Int($0) }
        }
        if let bytes = item.optional("ids_byte_fallback"), try ids(tokenizers.bytes) != bytes.ints {
            throw CaseError("ids_byte_fallback differ")
        }
        if let library = item.optional("spm_ids"), try ids(tokenizers.library) != library.ints {
            throw CaseError("spm_ids differ")
        }
        let found = ids(tokenizers.standard)
        if found == (try item["ids"].ints) { return .equal }
        if let library = item.optional("spm_ids"), try found == library.ints { return .likeLibrary }
        throw CaseError("ids differ")
    }

    /// Equal scalar for scalar; `==` would let different normal forms pass.
    private static func equal(_ a: String, _ b: String) -> Bool { a.unicodeScalars.elementsEqual(b.unicodeScalars) }
}
