import Foundation
import Media
import TestSupport
import Testing
import WatchFolder

@testable import dropreel

/// The whole program as the process that decodes sound.
@Suite struct SoundDecodingTests {
    private let decoder: IsolatedDecoder
    private let scratch: ScratchFolder

    init() throws {
        decoder = IsolatedDecoder(executable: BuiltProgram.url("dropreel").path)
        scratch = try ScratchFolder()
    }

    @Test func aWorkerGetsTheSoundOfItsOrder() throws {
        for name in ["tone.mp3", "tone.m4a", "alac.m4a"] {
            let path = goldenFolder.appending(path: "../Sounds/" + name).path
            let sound = try decoder.forRendering { try $0.sound(path: path, frameCount: 48_000) }
            #expect(sound.frameCount == 48_000)
            #expect(sound.samples.prefix(9_600).contains { abs($0) > 0.05 }, "\(name)")
            #expect(sound.samples.suffix(9_600).allSatisfy { $0 == 0 }, "\(name)")
        }
    }

    @Test func aBrokenSoundIsReturnedNotTriedAgain() throws {
        let file = scratch.url.appending(path: "x.wav")
        try Data("once upon a time".utf8).write(to: file)
        let error = #expect(throws: MediaError.self) {
            try decoder.forRendering { try $0.sound(path: file.path, frameCount: 9) }
        }
        let told = FilmEngine.serviceError(try #require(error)) as? ServiceError
        #expect(told?.code == .badInput && told?.code.isRetryable == false)
        #expect(told?.message.contains("neither WAV, M4A nor MP3") == true && told?.hint.isEmpty == false)
    }

    @Test func aHostThatCannotStartTheProcessIsNoFaultOfTheSound() throws {
        let broken = IsolatedDecoder(executable: "/nonexistent")
        let path = goldenFolder.appending(path: "../Sounds/tone.mp3").path
        let error = #expect(throws: ServiceError.self) {
            try broken.forRendering { try $0.sound(path: path, frameCount: 9) }
        }
        #expect(error?.code == .interrupted && error?.code.isRetryable == true)
    }

    @Test func anOrderOfAnotherVersionIsRefused() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: decoder.executable)
        process.arguments = ["decode", "1,10,2,9"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 64)
    }
}
