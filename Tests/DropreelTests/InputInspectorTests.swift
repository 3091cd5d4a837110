import Foundation
import Media
import TestSupport
import Testing
import WatchFolder

@testable import dropreel

/// The whole program as the process that decodes pictures.
@Suite struct InputInspectorTests {
    private let inspector: InputInspector
    private let scratch: ScratchFolder

    init() throws {
        inspector = InputInspector(decoder: IsolatedDecoder(executable: BuiltProgram.url("dropreel").path))
        scratch = try ScratchFolder()
    }

    private func verdict(_ bytes: Data, as medium: InputMedium = .picture) throws -> InputVerdict {
        let file = scratch.url.appending(path: UUID().uuidString)
        try bytes.write(to: file)
        return inspector.inspect(file, as: medium)
    }

    @Test func wholePicturesAreTaken() throws {
        let folder = goldenFolder.appending(path: "image/inputs")
        #expect(try verdict(Data(contentsOf: folder.appending(path: "baseline.jpg"))) == .complete)
        #expect(inspector.inspect(folder.appending(path: "rgb.png"), as: .picture) == .complete)
    }

    @Test func aCutPictureIsWaitedFor() throws {
        let whole = try Data(contentsOf: goldenFolder.appending(path: "image/inputs/progressive.jpg"))
        #expect(try verdict(whole.prefix(whole.count / 2)) == .incomplete("the picture ends in the middle"))
    }

    @Test func whatIsNoPictureIsReturned() throws {
        guard case .broken(let error) = try verdict(Data("once upon a time".utf8)) else {
            Issue.record("text passed for a picture")
            return
        }
        #expect(error.code == .badInput && error.message.contains("text") && !error.hint.isEmpty)
    }

    @Test func wholeSoundsAreTakenAndCutOnesWaitedFor() throws {
        var wave = Data("RIFF".utf8) + Data([0x24, 0x7D, 0, 0]) + Data("WAVEfmt ".utf8)
        // 16 bytes, PCM, one channel, 8,000 samples a second of 2 bytes, 16,000 bytes of data.
        wave += Data([16, 0, 0, 0, 1, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x80, 0x3E, 0, 0, 2, 0, 16, 0])
        wave += Data("data".utf8) + Data([0x80, 0x3E, 0, 0]) + Data(repeating: 7, count: 16_000)
        #expect(try verdict(wave, as: .sound) == .complete)
        guard case .incomplete(let reason) = try verdict(wave.prefix(20), as: .sound) else {
            Issue.record("the head of a sound passed for one")
            return
        }
        #expect(reason.contains("damaged"))
        guard case .broken(let error) = try verdict(Data("once upon a time".utf8), as: .sound) else {
            Issue.record("text passed for a sound")
            return
        }
        #expect(error.code == .badInput && error.message.contains("WAV") && !error.hint.isEmpty)
    }

    @Test func aProgramThatCannotBeStartedIsNoFaultOfThePicture() throws {
        let broken = InputInspector(decoder: IsolatedDecoder(executable: "/nonexistent"))
        guard
            case .broken(let error) = broken.inspect(goldenFolder.appending(path: "image/inputs/rgb.png"), as: .picture)
        else {
            Issue.record("a picture was decoded by nothing")
            return
        }
        #expect(error.code == .interrupted && error.code.isRetryable)
    }

    @Test func onlyOrdersOfThisVersionAreTaken() {
        #expect(DecodingOrder("0,3") == nil)
    }
}
