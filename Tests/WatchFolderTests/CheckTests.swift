import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// `_check`: what a file would be made with, and no film.
@Suite(.serialized)
struct CheckTests {
    private func answer(_ folder: FolderHarness, _ path: String, holds text: String) throws {
        try folder.until("\(path) holds \(text)") { folder.text("inbox/" + path).contains(text) }
    }

    @Test("a prompt yields its effective settings with their origins, and nothing else happens to it")
    func prompt() throws {
        let folder = try FolderHarness()
        try folder.rule("default.toml", "steps = 3\n")
        try folder.rule("drafts.toml", "seed = random\n")
        try folder.drop("drafts/_check/cat.prompt", "crf = 20\n---\na cat")
        try answer(folder, "drafts/_check/cat.txt", holds: "rules/default.toml line 1")
        let text = folder.text("inbox/drafts/_check/cat.txt")
        #expect(text.hasPrefix("Dropreel check of cat.prompt\r\n"))
        #expect(text.contains("It would make one film."))
        #expect(text.contains("# cat.prompt line 1"))
        #expect(text.contains("= random"))
        #expect(text.contains("prompt as used: a cat"))
        try folder.throughout { folder.jobCount == 0 && folder.outputs().isEmpty }
        #expect(folder.text("inbox/drafts/_check/cat.prompt") == "crf = 20\n---\na cat")
        #expect(!folder.status.contains("_check"))
        #expect(!folder.exists("state/check"))
    }

    @Test("the answer follows the file and the rule, and goes with the file")
    func follows() throws {
        let folder = try FolderHarness()
        try folder.drop("_check/cat.prompt", "steps = 9\n---\na cat")
        try answer(folder, "_check/cat.txt", holds: "It would fail: cat.prompt, line 1: steps: 9 is not legal")
        try folder.drop("_check/cat.prompt", "a cat")
        try answer(folder, "_check/cat.txt", holds: "It would make one film.")
        try folder.rule("default.toml", "stepz = 2\n")
        try answer(folder, "_check/cat.txt", holds: "did you mean steps?")
        try folder.rule("default.toml", "steps = 2\n")
        try answer(folder, "_check/cat.txt", holds: "rules/default.toml line 1")
        try folder.remove("_check/cat.prompt")
        try folder.until("answer gone") { !folder.exists("inbox/_check/cat.txt") }
    }

    @Test("picture and prompt are one film; a picture alone waits; a broken one says why")
    func pictures() throws {
        let folder = try FolderHarness()
        try folder.drop("_check/cat.jpg", "IMG cat END")
        try answer(folder, "_check/cat.txt", holds: "It would wait: waiting for cat.prompt.")
        try folder.drop("_check/cat.prompt", "a cat")
        try answer(folder, "_check/cat.txt", holds: "image to video")
        try folder.drop("_check/bad.png", "no picture")
        try answer(folder, "_check/bad.txt", holds: "It would fail: This is no picture.")
        try folder.drop("_check/half.png", "IMG half")
        try answer(folder, "_check/half.txt", holds: "is not complete")
        try folder.drop("_check/photo.webp", "WEBP")
        try answer(folder, "_check/photo.webp.txt", holds: "save it as JPEG or PNG")
        #expect(folder.jobCount == 0)
    }

    @Test("a picture that takes long to try holds up nothing else, and has its answer when it is through")
    func slowPicture() throws {
        let folder = try FolderHarness()
        let obstacle = folder.layout.state.appendingPathComponent("obstacle").path
        #expect(FileManager.default.createFile(atPath: obstacle, contents: nil))
        try folder.drop("_check/cat.prompt", "a cat")
        try folder.drop("_check/cat.jpg", "IMG slow \(obstacle); END")
        try folder.drop("dog.prompt", "a dog")
        try folder.untilIdle(films: 1)
        try folder.throughout { !folder.exists("inbox/_check/cat.txt") }
        #expect(folder.exists("state/check"))
        try FileManager.default.removeItem(atPath: obstacle)
        try answer(folder, "_check/cat.txt", holds: "image to video")
        #expect(!folder.exists("state/check"))
        #expect(folder.jobCount == 1)
    }

    @Test("a text of somebody's own is left alone, and a link leads nowhere")
    func foreignTexts() throws {
        let folder = try FolderHarness()
        try folder.drop("_check/cat.txt", "my notes")
        try folder.drop("_check/cat.prompt", "a cat")
        try answer(folder, "_check/cat.check.txt", holds: "It would make one film.")
        #expect(folder.text("inbox/_check/cat.txt") == "my notes")
        let outside = folder.root.appendingPathComponent("outside")
        try FileManager.default.createDirectory(at: outside, withIntermediateDirectories: true)
        try Data("a dog".utf8).write(to: outside.appendingPathComponent("dog.prompt"))
        try FileManager.default.createDirectory(at: folder.inbox("sub"), withIntermediateDirectories: true)
        symlink(outside.path, folder.inbox("sub/_check").path)
        try folder.throughout { !folder.exists("outside/dog.txt") }
    }

    @Test("a seed list tells every film, a long one its first")
    func lists() throws {
        let folder = try FolderHarness()
        try folder.drop("_check/cats.prompts", (1...30).map { "cat number \($0)" }.joined(separator: "\n"))
        try answer(folder, "_check/cats.txt", holds: "It would make 30 films.")
        let text = folder.text("inbox/_check/cats.txt")
        #expect(text.contains("Film 20 of 30:") && !text.contains("Film 21 of 30:"))
        #expect(text.contains("... and 10 more."))
    }
}
