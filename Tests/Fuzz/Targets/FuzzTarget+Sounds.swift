import Foundation

extension FuzzTarget {
    /// An MP3, an M4A of each codec, and WAVs of three kinds.
    static let sounds: [[UInt8]] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sounds")
        let files = ["tone.mp3", "tone.m4a", "alac.m4a"].map { name in
            (try? Data(contentsOf: folder.appending(path: name))).map { [UInt8]($0) } ?? []
        }
        return files + [wave(format: 1, bits: 16), wave(format: 3, bits: 32), wave(format: 7, bits: 8)]
    }()

    private static func wave(format: Int, bits: Int) -> [UInt8] {
        let data = [UInt8](repeating: 0x3E, count: 200)
        let rates = little(44_100, 4) + little(44_100 * 2 * bits / 8, 4) + little(2 * bits / 8, 2) + little(bits, 2)
        let head = Array("WAVEfmt ".utf8) + little(16, 4) + little(format, 2) + little(2, 2) + rates
        return Array("RIFF".utf8) + little(36 + data.count, 4) + head + Array("data".utf8) + little(data.count, 4)
            + data
    }
}
