import Foundation
import Media
import TestSupport
import Testing
import WatchFolder

@testable import dropreel

@Suite struct LatentsFolderTests {
    private let marks = VideoMarks(comment: "c", dropreel: "{}", aigc: "a", xmp: "x")

    @Test func onlyTheLatestAreKept() throws {
        let scratch = try ScratchFolder()
        let folder = LatentsFolder(scratch.url.appending(path: "latents"))
        _ = folder.place(for: JobID(at: Date()), marks: marks, label: "")
        for age in 0..<LatentsFolder.limit + 3 {
            let file = folder.url.appending(path: "\(age).safetensors")
            try Data([1]).write(to: file)
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: Double(-60 * age))], ofItemAtPath: file.path)
        }
        let place = folder.place(for: JobID(at: Date()), marks: marks, label: "")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.url.path)
        #expect(Set(left) == Set((0..<LatentsFolder.limit).map { "\($0).safetensors" }))
        #expect(!left.contains(place.url.lastPathComponent))
    }

    @Test func notesCarryTheMarks() throws {
        let scratch = try ScratchFolder()
        let place = LatentsFolder(scratch.url).place(for: JobID(at: Date()), marks: marks, label: "made by a model")
        #expect(VideoMarks(notes: place.notes) == marks && place.notes["label"] == "made by a model")
    }
}
