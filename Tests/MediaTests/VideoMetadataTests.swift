import TestSupport
import Testing

@testable import Media

@Suite("What a film says about itself")
struct VideoMetadataTests {
    private static let clip: [UInt8] = {
        let folder = TemporaryFolder()
        let path = folder.file("clip.mp4")
        let settings = VideoSettings(width: 64, height: 48, preset: .superfast)
        guard (try? Film.write(to: path, settings: settings, frameCount: 5)) != nil else { return [] }
        return (try? PictureFile.read(path)) ?? []
    }()

    private func code(_ bytes: [UInt8]) -> MediaError.Code? { mediaError { _ = try VideoMetadata.read(bytes) }?.code }

    @Test func theMarksReadBack() throws {
        let label = AIGCLabel(contentProducer: "a \"house\"/猫", produceID: "9")
        let json = try label.json
        #expect(
            json.hasPrefix(#"{"ContentProducer":"a \"house\"/猫","ContentPropagator":"","Label":"1","ProduceID":"9""#))
        #expect(try VideoMetadata.read(Self.clip).marks == Film.marks)
    }

    /// A cut inside the last box loses the packet; anything before that loses the film.
    @Test func aCutFilmIsIncomplete() {
        for count in 0..<Self.clip.count {
            let found = code(Array(Self.clip.prefix(count)))
            if found == nil {
                // Only a cut between two boxes leaves a film, and then its marks are not complete.
                #expect((try? VideoMetadata.read(Array(Self.clip.prefix(count))))?.marks == nil, "cut at \(count)")
            } else {
                #expect(found == .incomplete || count < 8, "cut at \(count)")
            }
        }
    }

    @Test func whatIsNoFilmIsNamed() {
        #expect(code(Array("a long enough text".utf8)) == .notAnImage)
        #expect(code([UInt8](repeating: 0, count: 4_096)) == .incomplete)
        #expect(code([]) == .incomplete)
    }

    @Test func boxesThatReachTooFarAreRefused() throws {
        let type = Array("moov".utf8)
        let moov = try #require(Self.clip.indices.dropLast(8).first { Array(Self.clip[$0..<($0 + 4)]) == type }) - 4
        var inner = Self.clip
        inner.replaceSubrange((moov + 8)..<(moov + 12), with: be32(0x7FFF_FFFF))
        #expect(code(inner) == .corrupt)
        var tiny = Self.clip
        tiny.replaceSubrange((moov + 8)..<(moov + 12), with: be32(4))
        #expect(code(tiny) == .corrupt)
        var long = Self.clip
        long.replaceSubrange(moov..<(moov + 4), with: be32(1))
        long.replaceSubrange((moov + 8)..<(moov + 16), with: [UInt8](repeating: 0xFF, count: 8))
        #expect(code(long) == .corrupt)
    }

    @Test func millionsOfBoxesAreRefused() {
        let ftyp = be32(8) + Array("ftyp".utf8)
        let many = ftyp + [[UInt8]](repeating: be32(8) + Array("free".utf8), count: 100_000).flatMap { $0 }
        #expect(code(many) == .tooLarge)
    }

    @Test func mutatedFilmsNeverCrash() {
        var random = SplitMix(7)
        var read = 0
        var refused = 0
        for _ in 0..<10_000 {
            let bytes = random.mutated(Self.clip, other: Self.clip)
            if code(bytes) == nil { read += 1 } else { refused += 1 }
        }
        #expect(read > 100 && refused > 1_000)
    }
}
