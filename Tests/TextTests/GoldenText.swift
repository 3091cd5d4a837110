import Foundation
import Testing

/// The project's own copy of the reference tokenizers and their cases.
enum GoldenText {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let category: String
        let text: String
        let clean: String?
        let ftfy: String?
        let ids: [Int32]?
        let spmIds: [Int32]?
        let idsByteFallback: [Int32]?

        var testDescription: String { "\(category): \(text.prefix(40))" }
    }

    private struct File: Decodable {
        let cases: [Case]
    }

    static func path(_ name: String, file: String = #filePath) -> String {
        URL(filePath: file).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Golden/tokenizer/\(name)").path
    }

    static func cases(_ name: String) throws -> [Case] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(File.self, from: Data(contentsOf: URL(filePath: path(name)))).cases
    }
}

extension String {
    /// Compared by scalars: `==` would take canonically equivalent texts for equal.
    func isIdentical(to other: String) -> Bool { unicodeScalars.elementsEqual(other.unicodeScalars) }
}
