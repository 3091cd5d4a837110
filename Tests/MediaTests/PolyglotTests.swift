import Testing

@testable import Media

/// Files that are two things at once, or not what their names say. The first bytes decide; what else is in the file is
/// neither run nor handed on.
@Suite("Polyglots and misnamed pictures")
struct PolyglotTests {
    private let zip: [UInt8] =
        Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 0, count: 40) + Array("PK\u{5}\u{6}".utf8)
    private let page = Array("<html><script>alert(1)</script></html>".utf8)

    private func decoded(_ bytes: [UInt8]) throws -> RGBImage { try ImageDecoder.decode(bytes) }

    @Test("a picture with an archive or a page behind its end is the picture", arguments: ["baseline.jpg", "rgb.png"])
    func behind(_ name: String) throws {
        let bytes = try GoldenImage.bytes("inputs/\(name)")
        let picture = try decoded(bytes)
        for tail in [zip, page, bytes] { #expect(try decoded(bytes + tail) == picture) }
    }

    @Test("a page in a JPEG comment or in a PNG text chunk is passed over")
    func inside() throws {
        let jpeg = try GoldenImage.bytes("inputs/baseline.jpg")
        let length = page.count + 2
        let comment: [UInt8] = [0xFF, 0xFE, UInt8(length >> 8), UInt8(length & 255)] + page
        #expect(try decoded(jpeg[..<2] + comment + jpeg[2...]) == decoded(jpeg))
        let plain = PNGBuilder(width: 1, height: 1, depth: 8, colorType: 2)
        var (first, second) = (plain, plain)
        second.chunk("tEXt", Array("Comment\u{0}".utf8) + page)
        first.finish(rows: [[1, 2, 3]])
        second.finish(rows: [[1, 2, 3]])
        #expect(try decoded(first.bytes) == decoded(second.bytes))
    }

    @Test("what begins as something else is no picture, whatever follows and whatever its name says")
    func before() throws {
        let jpeg = try GoldenImage.bytes("inputs/baseline.jpg")
        let cases: [([UInt8], String)] = [
            (zip + jpeg, "a ZIP archive"), (page + [10] + jpeg, ""),
            (Array("%PDF-1.7\n".utf8) + jpeg, "a PDF document"),
            (Array("GIF89a".utf8) + jpeg, "a GIF picture"), (Array("a text named x.png\n".utf8), "text"),
        ]
        let folder = TemporaryFolder()
        for (bytes, kind) in cases {
            let path = folder.file("x.png")
            try PictureFile.write(bytes, to: path)
            let error = mediaError { _ = try ImageDecoder.decode(path: path) }
            #expect(error?.code == .notAnImage)
            #expect(error?.message == "not a JPEG or PNG picture" + (kind.isEmpty ? "" : " (it looks like \(kind))"))
        }
    }

    @Test("a PNG named .jpg and a JPEG named .png are taken for what they are")
    func misnamed() throws {
        let folder = TemporaryFolder()
        for (golden, name) in [("rgb.png", "x.jpg"), ("baseline.jpg", "x.png"), ("rgb.png", "x.prompt")] {
            let bytes = try GoldenImage.bytes("inputs/\(golden)")
            try PictureFile.write(bytes, to: folder.file(name))
            #expect(try ImageDecoder.decode(path: folder.file(name)) == decoded(bytes))
        }
    }
}
