import Foundation
import Testing

@testable import Text

@Suite struct TokenizerTests {
    private func tokenizer(_ name: String, _ options: TokenizerOptions = TokenizerOptions()) throws -> Tokenizer {
        try Tokenizer(GoldenText.path(name), options: options)
    }

    @Test(arguments: ["a", "b"])
    func everyPromptGetsTheFastTokenizersIDs(_ model: String) throws {
        let tokenizer = try tokenizer(model)
        let withBytes = try self.tokenizer(model, TokenizerOptions(byteFallback: true))
        for item in try GoldenText.cases("cases_\(model).json") {
            let expected = try #require(item.ids)
            let found = tokenizer.encode(try #require(item.clean))
            #expect(found.ids.count == 512)
            #expect(Array(found.ids.prefix(found.length)) == expected, "\(item.testDescription)")
            #expect(found.ids.dropFirst(found.length).allSatisfy { $0 == 0 })
            let bytes = withBytes.encode(item.clean!)
            #expect(
                Array(bytes.ids.prefix(bytes.length)) == item.idsByteFallback ?? expected, "\(item.testDescription)")
        }
    }

    /// The library's own ids; where two splittings score the same, its versions differ.
    @Test(arguments: [("a", 1), ("b", 3)])
    func sentencePieceAloneGivesItsOwnIDs(_ model: String, _ ties: Int) throws {
        let tokenizer = try tokenizer(model, TokenizerOptions(semantics: .sentencePiece))
        var differing = 0
        for item in try GoldenText.cases("cases_\(model).json") {
            let expected = try #require(item.spmIds ?? item.ids)
            let found = tokenizer.encode(item.clean!)
            guard Array(found.ids.prefix(found.length)) != expected else { continue }
            differing += 1
            #expect(found.ids.prefix(found.length).sorted() == expected.sorted(), "\(item.testDescription)")
        }
        #expect(differing <= ties)
    }

    @Test func longTextsAreCutBeforeTheEndMarker() throws {
        let tokenizer = try tokenizer("a")
        let ids = tokenizer.encode(String(repeating: "a cat and a river, ", count: 60_000))
        #expect(ids.length == 512)
        #expect(ids.ids[511] == tokenizer.endID)
        #expect(!ids.ids[..<511].contains(tokenizer.endID))
        let short = try self.tokenizer("a", TokenizerOptions(length: 4)).encode("a cat and a river")
        #expect(short.ids.count == 4 && short.length == 4 && short.ids[3] == tokenizer.endID)
    }

    @Test func nothingIsTheEndMarkerAlone() throws {
        for text in ["", "   "] {
            let ids = try tokenizer("b").encode(text)
            #expect(ids.length == 1 && ids.ids[0] == 1)
        }
    }

    @Test func withoutSettingsTheLibraryDecides() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let model = folder.appending(path: "spiece.model")
        try FileManager.default.copyItem(at: URL(filePath: GoldenText.path("a/spiece.model")), to: model)
        let alone = try Tokenizer(model.path)
        let library = try tokenizer("a", TokenizerOptions(semantics: .sentencePiece))
        #expect(alone.encode("cat </s> \u{20000}") == library.encode("cat </s> \u{20000}"))
        #expect(alone.encode("cat </s> \u{20000}") != (try tokenizer("a")).encode("cat </s> \u{20000}"))
        try Data("{}".utf8).write(to: folder.appending(path: "tokenizer.json"))
        #expect(throws: TextError.self) { try Tokenizer(folder.path) }
    }

    @Test func brokenModelsAreRefused() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let missing = #expect(throws: TextError.self) { try Tokenizer(folder.path) }
        #expect(missing?.code == .unreadable)
        #expect(missing?.message.contains("spiece.model") == true)
        let model = folder.appending(path: "spiece.model")
        for content in [
            Data(), Data("no model".utf8),
            try Data(contentsOf: URL(filePath: GoldenText.path("a/spiece.model"))).prefix(200_000),
        ] {
            try content.write(to: model)
            #expect(throws: TextError.self) { try Tokenizer(model.path) }
        }
    }

    @Test func sizesAreKnown() throws {
        #expect(try tokenizer("a").vocabularySize == 4_300)
        #expect(try tokenizer("b").vocabularySize == 1_300)
        #expect(try tokenizer("a").endID == 1)
    }
}
