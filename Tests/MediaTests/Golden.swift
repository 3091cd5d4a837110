import Foundation
import Testing

@testable import Media

/// The reference's pictures, as they stand in Tests/Golden/image.
struct GoldenImage: Sendable, CustomTestStringConvertible {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Golden/image")
        .standardized

    let name: String
    let file: String
    let expectedFile: String
    let width: Int
    let height: Int
    let targetWidth: Int
    let targetHeight: Int

    var testDescription: String { name }
    var isJPEG: Bool { name.hasSuffix(".jpg") }

    static let all: [GoldenImage] = {
        struct Cases: Decodable {
            struct Case: Decodable {
                let name: String
                let file: String
                let expectedFile: String
                let sizeWh: [Int]
                let targetWh: [Int]
            }
            let cases: [Case]
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let data = try? Data(contentsOf: folder.appending(path: "cases.json")),
            let cases = try? decoder.decode(Cases.self, from: data)
        else { return [] }
        return cases.cases.map {
            GoldenImage(
                name: $0.name, file: $0.file, expectedFile: $0.expectedFile, width: $0.sizeWh[0],
                height: $0.sizeWh[1],
                targetWidth: $0.targetWh[0], targetHeight: $0.targetWh[1])
        }
    }()

    func bytes() throws -> [UInt8] { try Self.bytes(file) }

    static func bytes(_ file: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: file)))
    }

    /// The raw bytes of an expected tensor; nil where the file has none of that name.
    func expected(_ tensor: String) throws -> [UInt8]? {
        struct Entry: Decodable {
            let offsets: [Int]
            enum CodingKeys: String, CodingKey { case offsets = "data_offsets" }
        }
        let data = [UInt8](try Data(contentsOf: Self.folder.appending(path: expectedFile)))
        let headerCount = data.littleEndian32(0)
        let header = try JSONDecoder().decode([String: Entry].self, from: Data(data[8..<(8 + headerCount)]))
        guard let entry = header[tensor] else { return nil }
        return Array(data[(8 + headerCount + entry.offsets[0])..<(8 + headerCount + entry.offsets[1])])
    }
}

/// `[3, height, width]` as an image, and the other way.
func interleaved(_ planes: [UInt8], width: Int, height: Int) -> RGBImage {
    let plane = width * height
    let pixels = (0..<plane).flatMap { [planes[$0], planes[plane + $0], planes[2 * plane + $0]] }
    return RGBImage(width: width, height: height, pixels: pixels)
}

func largestDifference(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard a.count == b.count else { return .max }
    return zip(a, b).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
}

/// The error that `work` throws.
func mediaError(_ work: () throws -> Void) -> MediaError? {
    do {
        try work()
        return nil
    } catch {
        return error as? MediaError
    }
}
