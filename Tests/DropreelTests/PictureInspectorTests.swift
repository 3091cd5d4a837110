import Foundation
import Media
import TestSupport
import Testing
import WatchFolder

@testable import dropreel

/// The whole program as the process that decodes pictures.
@Suite struct PictureInspectorTests {
    private let inspector: PictureInspector
    private let scratch: ScratchFolder

    init() throws {
        var folder =
            Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
            ?? URL(fileURLWithPath: CommandLine.arguments[0])
        folder.deleteLastPathComponent()
        inspector = PictureInspector(
            decoder: IsolatedDecoder(executable: folder.appendingPathComponent("dropreel").path))
        scratch = try ScratchFolder()
    }

    private func verdict(_ bytes: Data) throws -> ImageVerdict {
        let file = scratch.url.appending(path: UUID().uuidString)
        try bytes.write(to: file)
        return inspector.inspect(file)
    }

    @Test func wholePicturesHaveASize() throws {
        let folder = goldenFolder.appending(path: "image/inputs")
        #expect(
            try verdict(Data(contentsOf: folder.appending(path: "baseline.jpg"))) == .complete(width: 61, height: 47))
        #expect(inspector.inspect(folder.appending(path: "rgb.png")) != .incomplete)
    }

    @Test func aCutPictureIsWaitedFor() throws {
        let whole = try Data(contentsOf: goldenFolder.appending(path: "image/inputs/progressive.jpg"))
        #expect(try verdict(whole.prefix(whole.count / 2)) == .incomplete)
    }

    @Test func whatIsNoPictureIsReturned() throws {
        guard case .broken(let error) = try verdict(Data("once upon a time".utf8)) else {
            Issue.record("text passed for a picture")
            return
        }
        #expect(error.code == .badInput && error.message.contains("text") && !error.hint.isEmpty)
    }

    @Test func aProgramThatCannotBeStartedIsNoFaultOfThePicture() throws {
        let broken = PictureInspector(decoder: IsolatedDecoder(executable: "/nonexistent"))
        guard case .broken(let error) = broken.inspect(goldenFolder.appending(path: "image/inputs/rgb.png")) else {
            Issue.record("a picture was decoded by nothing")
            return
        }
        #expect(error.code == .interrupted && error.code.isRetryable)
    }

    @Test func onlyOrdersOfThisVersionAreTaken() {
        #expect(DecodingOrder("0,3") == nil)
    }
}
