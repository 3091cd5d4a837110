import Foundation
import Tensors
import TestSupport
import Testing

@testable import Checkpoints

/// Random damage to good files: whatever comes out, nothing crashes and nothing outside a file is read.
@Suite struct HostileInputTests {
    private func mutate(_ original: [UInt8], within range: Range<Int>, _ random: inout SplitMix) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let i = Int.random(in: range, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[i] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[i] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes[i] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF].randomElement(using: &random)!
            case 3: for j in i..<min(i + 8, bytes.count) { bytes[j] = 0xFF }
            case 4: bytes[i] = bytes[Int.random(in: range, using: &random)]
            default: for j in i..<min(i + 4, bytes.count) { bytes[j] = 0 }
            }
        }
        if Int.random(in: 0..<20, using: &random) == 0 {
            bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
        }
        return bytes
    }

    private func attack(_ original: [UInt8], hot: Range<Int>, rounds: Int, seed: UInt64) -> (
        opened: Int, refused: Int
    ) {
        var random = SplitMix(seed)
        var opened = 0
        for round in 0..<rounds {
            let range = round % 4 == 0 ? original.indices : hot
            let file = FileMapping(path: "victim", copying: mutate(original, within: range, &random))
            do {
                let checkpoint = try Checkpoint.open(file)
                for name in checkpoint.names { _ = content(try checkpoint.require(name)).reduce(0, &+) }
                _ = try? canonicalTransformer(checkpoint)
                opened += 1
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        return (opened, rounds - opened)
    }

    @Test func damagedPicklesAreRefusedOrRead() throws {
        let original = [UInt8](try Data(contentsOf: URL(filePath: golden("pickle_views.pth"))))
        let result = attack(original, hot: 64..<1400, rounds: 4_000, seed: 1)
        #expect(result.opened > 100 && result.refused > 1_000)
        let directory = attack(original, hot: original.count - 1_600..<original.count, rounds: 4_000, seed: 2)
        #expect(directory.refused > 1_000)
    }

    @Test func damagedHeadersAreRefusedOrRead() throws {
        let original = [UInt8](try Data(contentsOf: URL(filePath: golden("pickle_views_expected.safetensors"))))
        let header = 0..<8 + Int(original[0]) + Int(original[1]) << 8
        let result = attack(original, hot: header, rounds: 6_000, seed: 3)
        #expect(result.opened > 100 && result.refused > 1_000)
    }
}
