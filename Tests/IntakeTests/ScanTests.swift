import Foundation
import Testing

@testable import Intake

@Suite("Looking at a tree")
struct ScanTests {
    private struct Seen {
        var files: [String] = []
        var folders: [String] = []
        var unusable: [UnusableEntry] = []
    }

    private func scan(_ root: SafeRoot, _ start: String = "", options: ScanOptions = ScanOptions()) throws -> Seen {
        var seen = Seen()
        try root.scan(RelativePath(start), options: options) { entry in
            switch entry {
            case .file(let file): seen.files.append(file.path.string)
            case .folder(let path): seen.folders.append(path.string)
            case .unusable(let entry): seen.unusable.append(entry)
            }
            return true
        }
        seen.files.sort()
        seen.folders.sort()
        return seen
    }

    @Test("files of all folders but those that hold no inputs")
    func tree() throws {
        let sandbox = try Sandbox()
        for folder in ["a/b", "a/_done", ".hidden", "_failed", "c"] {
            try sandbox.folder(folder)
            try sandbox.write(folder + "/x", "1")
        }
        try sandbox.write(".DS_Store", "")
        try sandbox.write("y", "1")
        let seen = try scan(try sandbox.root())
        #expect(seen.files == ["a/b/x", "c/x", "y"])
        #expect(seen.folders == ["a", "a/b", "c"])
        #expect(seen.unusable.isEmpty)
        #expect(try scan(try sandbox.root(), "a").files == ["a/b/x"])
    }

    @Test("names that make other programs stumble")
    func names() throws {
        let sandbox = try Sandbox()
        let long = String(repeating: "n", count: 255)
        for name in ["a\nb.png", long, "e\u{301}", "\u{E9}", "-rf", "a b", "%41", "\\"] {
            #expect(sandbox.touch(rawName: Array(name.utf8)))
        }
        #expect(sandbox.touch(rawName: [0x61, 0xFF, 0xC3]))
        let root = try sandbox.root()
        let seen = try scan(root)
        #expect(
            Set(seen.files.map { Array($0.utf8) })
                == Set(["a\nb.png", long, "e\u{301}", "\u{E9}", "-rf", "a b", "%41", "\\"].map { Array($0.utf8) }))
        #expect(seen.unusable == [UnusableEntry(folder: .root, name: "a\u{FFFD}\u{FFFD}", reason: .nameNotUTF8)])
        for file in seen.files { #expect(try root.open(RelativePath(file)).identity.size == 0) }
        #expect(RelativePath("e\u{301}") != RelativePath("\u{E9}"))
        #expect(Set([RelativePath("e\u{301}"), RelativePath("\u{E9}")]).count == 2)
    }

    @Test("links, pipes and depth")
    func oddities() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("a/b/c/d")
        try sandbox.write("a/b/c/d/x", "1")
        symlink("..", sandbox.at("a/loop"))
        mkfifo(sandbox.at("a/fifo"), 0o644)
        let seen = try scan(try sandbox.root(), options: ScanOptions(maximumDepth: 3))
        #expect(seen.files.isEmpty)
        #expect(seen.folders == ["a", "a/b", "a/b/c"])
        #expect(Set(seen.unusable.map(\.name)) == ["loop", "fifo", "d"])
        #expect(seen.unusable.first { $0.name == "d" }?.reason == .tooDeep)
        #expect(throws: IntakeError.self) { try scan(try sandbox.root(), "missing") }
    }

    @Test("a tree of 1,000 files moved in by one rename is found completely")
    func movedTree() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("inbox")
        for index in 0..<1000 {
            if index % 100 == 0 { try sandbox.folder("elsewhere/f\(index / 100)/g") }
            try sandbox.write("elsewhere/f\(index / 100)/\(index % 2 == 0 ? "g/" : "")\(index).prompt", "x")
        }
        #expect(rename(sandbox.at("elsewhere"), sandbox.at("inbox/tree")) == 0)
        #expect(try scan(try sandbox.root("inbox")).files.count == 1000)
    }

    @Test("a walk can be stopped")
    func stopping() throws {
        let sandbox = try Sandbox()
        for index in 0..<10 { try sandbox.write("\(index)", "") }
        var count = 0
        let finished = try sandbox.root().scan { _ in
            count += 1
            return count < 3
        }
        #expect(!finished)
        #expect(count == 3)
    }
}
