import FolderFixtures
import Foundation
import Testing

@testable import WatchFolder

/// How files come: behaviours 1 to 7, 11 to 13, 18.
@Suite(.serialized)
struct ArrivalTests {
    @Test("behaviour 1: a copy with full size first and an old time last is accepted once, after its last close")
    func windowsCopy() throws {
        let folder = try FolderHarness()
        let bytes = Data("IMG".utf8) + Data(repeating: 7, count: 100_000) + Data("END".utf8)
        let file = open(folder.inbox("cat.jpg").path, O_CREAT | O_RDWR | O_CLOEXEC, 0o664)
        #expect(ftruncate(file, off_t(bytes.count)) == 0)
        try folder.drop("cat.prompt", "a cat")
        try folder.throughout { folder.jobCount == 0 }
        _ = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
        var times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 0)]
        #expect(futimens(file, &times) == 0)
        try folder.throughout { folder.jobCount == 0 }
        close(file)
        try folder.untilIdle(films: 1)
        try folder.throughout { folder.jobCount == 1 }
    }

    @Test("behaviour 2: a cut copy is never processed, STATUS says incomplete, copying again starts one job")
    func cutCopy() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "a cat")
        let path = folder.inbox("cat.jpg").path
        let file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o664)
        _ = write(file, "IMG", 3)
        #expect(ftruncate(file, 1 << 20) == 0)
        close(file)
        try folder.until("incomplete in STATUS") { folder.status.contains("cat.jpg: incomplete") }
        try folder.throughout { folder.jobCount == 0 }
        #expect(folder.status.contains("cat.prompt: waits until cat.jpg is complete"))
        try folder.drop("cat.jpg", "IMG whole END")
        try folder.untilIdle(films: 1)
        #expect(folder.outputs()[0].hasPrefix("cat_i2v_"))
    }

    @Test("behaviour 2: a picture that ends in the middle waits, and is returned as an error after its time")
    func truncatedPicture() throws {
        var options = ServiceOptions.quick
        options.incompleteTimeout = 2
        let folder = try FolderHarness(options: options)
        try folder.drop("cat.jpg", "IMG half")
        try folder.until("incomplete in STATUS") { folder.status.contains("the picture ends in the middle") }
        try folder.until("returned") { folder.exists("inbox/_failed/cat.jpg.ERROR.txt") }
        #expect(folder.text("inbox/_failed/cat.jpg.ERROR.txt").split(separator: "\r\n").count == 2)
    }

    @Test("a picture that cannot be looked at for the host's own trouble waits, and is taken when the trouble is over")
    func hostTrouble() throws {
        let folder = try FolderHarness()
        let obstacle = folder.layout.state.appendingPathComponent("obstacle").path
        #expect(FileManager.default.createFile(atPath: obstacle, contents: nil))
        try folder.drop("cat.prompt", "a cat")
        try folder.drop("cat.jpg", "IMG trouble \(obstacle); END")
        try folder.until("told in STATUS") { folder.status.contains("cat.jpg: incomplete: The process") }
        try folder.throughout { folder.jobCount == 0 && !folder.exists("inbox/_failed/cat.jpg") }
        try FileManager.default.removeItem(atPath: obstacle)
        try folder.untilIdle(films: 1)
    }

    @Test("a picture that takes long to try holds up nothing else, and is taken when it is through")
    func slowPicture() throws {
        let folder = try FolderHarness()
        let obstacle = folder.layout.state.appendingPathComponent("obstacle").path
        #expect(FileManager.default.createFile(atPath: obstacle, contents: nil))
        try folder.drop("cat.prompt", "a cat")
        try folder.drop("cat.jpg", "IMG slow \(obstacle); END")
        try folder.drop("dog.prompt", "a dog")
        try folder.until("the other film") { folder.outputs().contains { $0.hasPrefix("dog_") } }
        #expect(!folder.outputs().contains { $0.hasPrefix("cat_") })
        try FileManager.default.removeItem(atPath: obstacle)
        try folder.untilIdle(films: 2)
        #expect(folder.outputs().contains { $0.hasPrefix("cat_i2v_") })
    }

    @Test("behaviour 3: create, close at nothing, reopen, write makes one job")
    func reopenedCopy() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "")
        try folder.throughout { folder.jobCount == 0 }
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        #expect(folder.jobCount == 1)
    }

    @Test("behaviour 4: a file held open for writing is never started")
    func heldOpen() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "a cat")
        let file = open(folder.inbox("cat.prompt").path, O_WRONLY | O_CLOEXEC)
        try folder.until("seen") { folder.status.contains("another program still writes to it") }
        try folder.throughout { folder.jobCount == 0 }
        close(file)
        try folder.untilIdle(films: 1)
    }

    @Test(
        "behaviour 5: temporary names never start a job, renaming one does",
        arguments: ["cat.jpg.part", "~gvfA1B2.tmp", ".cat.jpg", "._cat.jpg", "_cat.jpg"])
    func temporaryName(name: String) throws {
        let folder = try FolderHarness()
        try folder.rule("default.toml", "prompt = a cat\n")
        try folder.drop(name, "IMG cat END")
        try folder.throughout(0.2) { folder.jobCount == 0 }
        try folder.rename(name, "cat.jpg")
        try folder.untilIdle(films: 1)
    }

    @Test("behaviour 6: opening an accepted file without changing it creates no job")
    func merelyOpened() throws {
        let folder = try FolderHarness()
        try folder.rule("default.toml", "after = keep\n")
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        close(open(folder.inbox("cat.prompt").path, O_RDWR | O_CLOEXEC))
        try folder.throughout { folder.jobCount == 1 }
        // Attributes may change as well: the bytes are what counts.
        chmod(folder.inbox("cat.prompt").path, 0o600)
        try folder.throughout { folder.jobCount == 1 }
        #expect(folder.exists("inbox/cat.prompt"))
    }

    @Test("behaviour 7: image then prompt, and prompt then image, give the same result")
    func pairInEitherOrder() throws {
        let films = try [["cat.jpg", "cat.prompt"], ["cat.prompt", "cat.jpg"]].map { order in
            let folder = try FolderHarness()
            for name in order {
                try folder.drop(name, name.hasSuffix("jpg") ? "IMG cat END" : "slower seed cat")
                try folder.throughout(0.15) { folder.outputs().isEmpty }
            }
            try folder.untilIdle(films: 1)
            #expect(folder.outputs()[0].hasPrefix("cat_i2v_"))
            #expect(folder.exists("inbox/_done/cat.jpg") && folder.exists("inbox/_done/cat.prompt"))
            return try folder.film(folder.outputs()[0])
        }
        #expect(films[0] == films[1])
    }

    @Test("behaviour 7: pairing ignores case and Unicode normal form")
    func pairingIgnoresSpelling() throws {
        let folder = try FolderHarness()
        try folder.drop("Caf\u{E9}.JPG", "IMG cat END")
        try folder.drop("cafe\u{301}.Prompt", "a cat")
        try folder.untilIdle(films: 1)
        #expect(folder.outputs()[0].contains("_i2v_"))
    }

    @Test("a picture alone waits for its prompt, then takes the folder's, else says what it waits for")
    func pictureAlone() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.jpg", "IMG cat END")
        try folder.drop("with/dog.jpg", "IMG dog END")
        try folder.rule("with.toml", "prompt = a running dog\n")
        try folder.until("waiting in STATUS") { folder.status.contains("cat.jpg: waiting for cat.prompt") }
        try folder.until("film by the folder's prompt") { folder.outputs(".json", in: "with").count == 1 }
        #expect(folder.outputs().isEmpty)
    }

    @Test("behaviour 11: a tree of 1,000 files moved in by one rename is found completely")
    func movedTree() throws {
        let folder = try FolderHarness(workers: .none)
        let outside = folder.root.appendingPathComponent("outside")
        for index in 0..<1000 {
            let place = outside.appendingPathComponent("a\(index % 10)/b\(index % 7)")
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            try Data("prompt \(index)".utf8).write(to: place.appendingPathComponent("p\(index).prompt"))
        }
        try FileManager.default.moveItem(at: outside, to: folder.inbox("tree"))
        try folder.until("1,000 jobs", within: 900) { folder.jobCount == 1000 }
    }

    @Test("behaviour 12: after an overflow everything is scanned, whatever no event told")
    func overflow() throws {
        var options = ServiceOptions.quick
        options.pollInterval = 3600
        let folder = try FolderHarness(options: options)
        folder.service.tick()
        try folder.drop("cat.prompt", "a cat")
        try folder.throughout { folder.jobCount == 0 }
        folder.service.watching.take(.overflow, logger: folder.service.logger)
        try folder.untilIdle(films: 1)
    }

    @Test("behaviour 13: without inotify every file is found by rescan, and STATUS says so")
    func withoutWatcher() throws {
        let folder = try FolderHarness()
        for index in 0..<20 { try folder.drop("deep/er/p\(index).prompt", "prompt \(index)") }
        try folder.until("20 films") { folder.outputs(".json", in: "deep/er").count == 20 }
        #expect(folder.status.contains("looked through every"))
    }

    @Test("behaviour 18: links, pipes, sockets and endless names neither stall nor reach outside")
    func hostileEntries() throws {
        let folder = try FolderHarness()
        try Data("a secret".utf8).write(to: folder.root.appendingPathComponent("secret.prompt"))
        symlink(folder.root.appendingPathComponent("secret.prompt").path, folder.inbox("link.prompt").path)
        symlink(folder.root.path, folder.inbox("up").path)
        mkfifo(folder.inbox("pipe.prompt").path, 0o666)
        mknod(folder.inbox("device.jpg").path, S_IFCHR | 0o666, 0x0103)
        let long = String(repeating: "x", count: 248) + ".prompt"
        try folder.drop(long, "a long name")
        try folder.until("status") { folder.status.contains("link.prompt: links, pipes and devices") }
        try folder.untilIdle(films: 1)
        #expect(folder.status.contains("pipe.prompt: links, pipes and devices"))
        #expect(folder.jobCount == 1)
        #expect(folder.outputs()[0].utf8.count <= 255)
        #expect(folder.exists("inbox/_done/" + long))
    }
}
