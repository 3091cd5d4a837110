import Digests
import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// What goes with a film: its contact sheet on the way out, its sound on the way in.
@Suite(.serialized)
struct CompanionTests {
    @Test("a contact sheet stands beside the film, with the film's name, unless the rule says no")
    func sheet() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        let base = try #require(folder.outputs().first?.dropLast(4))
        #expect(folder.outputs(".jpg") == ["\(base).jpg", "\(base)_sheet.jpg"])
        let output = try folder.record("\(base).json")["output"]?.objectValue
        #expect(output?["contact_sheet"]?.stringValue == "\(base)_sheet.jpg")
        try folder.rule("default.toml", "contact_sheet = no\n")
        try folder.drop("dog.prompt", "a dog")
        try folder.untilIdle(films: 2)
        #expect(folder.outputs("_sheet.jpg").count == 1)
    }

    @Test("a sheet, poster or film of the name that stands there already is never overwritten")
    func takenNames() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "seed = 7\n---\ngate cat")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        // Every name of the next minute, in another spelling.
        let settings = try #require(try folder.ledger.claims().first?.job.settings)
        let now = Int(Date().timeIntervalSince1970)
        for second in now..<(now + 60) {
            let name = OutputName(
                stem: "cat", mode: .textToVideo, seed: 7, model: settings.model.value, secondsSince1970: second)
            try Data("mine".utf8).write(
                to: folder.layout.outbox.appendingPathComponent(name.base.uppercased() + "_SHEET.JPG"))
        }
        try Data().write(to: folder.layout.state.appendingPathComponent("gate"))
        try folder.untilIdle(films: 1)
        #expect(folder.outputs("_2_sheet.jpg").count == 1)
        #expect(folder.outputs("_2.mp4").count == 1)
    }

    @Test("a failed sync of the folder takes film, poster and sheet back out of the share")
    func takenBack() throws {
        let count = Counter()
        let calls = SystemCalls.with { calls in
            calls.fsync = { descriptor in
                var status = stat()
                fstat(descriptor, &status)
                let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
                guard status.st_mode & S_IFMT == S_IFDIR, path?.hasSuffix("/outbox") == true, count.next() == 1 else {
                    return Foundation.fsync(descriptor)
                }
                errno = EIO
                return -1
            }
        }
        let folder = try FolderHarness(calls: calls)
        try folder.drop("cat.prompt", "a cat")
        try folder.until("another attempt") { count.value >= 2 }
        try folder.untilIdle(films: 1)
        #expect(folder.outputs(".jpg").count == 2)
        #expect(try folder.record(folder.outputs(".json")[0])["attempts"]?.integerValue == 2)
    }

    @Test("film, poster and sheet dragged back together run once, and go to _done together")
    func rerun() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        let base = try #require(folder.outputs().first.map { String($0.dropLast(4)) })
        let film = try FileManager.default.contentsOfDirectory(atPath: folder.layout.outbox.path)
            .filter { $0.hasPrefix(base) && !$0.hasSuffix(".mp4") }
        try FileManager.default.createDirectory(at: folder.inbox("final"), withIntermediateDirectories: true)
        for name in film {
            try FileManager.default.moveItem(
                at: folder.layout.outbox.appendingPathComponent(name), to: folder.inbox("final/" + name))
        }
        try folder.until("run again") { folder.outputs(".json", in: "final").count == 1 }
        try folder.until("returned") { try folder.ledger.openDrops().isEmpty }
        #expect(folder.jobCount == 2)
        for name in film { #expect(folder.exists("inbox/final/_done/" + name), "\(name)") }
    }

    @Test("a contact sheet alone is never an input")
    func sheetAlone() throws {
        let folder = try FolderHarness()
        try folder.rule("default.toml", "prompt = \"it moves\"\n")
        let name = "cat_t2v_7_Fake_T2V_20260101_120000_sheet.jpg"
        try folder.drop(name, "IMG sheet END")
        try folder.drop("my_sheet.jpg", "IMG bed END")
        try folder.until("told") { folder.status.contains("\(name): a contact sheet is no input") }
        try folder.until("the bed sheet") { folder.outputs(".json").count == 1 }
        #expect(folder.jobCount == 1 && folder.exists("inbox/" + name))
    }

    // MARK: Sound

    @Test("sound of the same stem goes with the prompt, waits for it, and is returned with it")
    func sound() throws {
        let folder = try FolderHarness()
        try folder.drop("Cat.wav", "sound of a cat")
        try folder.until("waits") { folder.status.contains("Cat.wav: waiting for Cat.prompt") }
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        let digest = Digest.of(Data("sound of a cat".utf8))
        let record = try folder.record(folder.outputs(".json")[0])
        #expect(record["audio_sha256"]?.stringValue == digest)
        #expect(String(decoding: try folder.film(folder.outputs()[0]), as: UTF8.self).contains(digest))
        #expect(folder.outputs()[0].hasPrefix("cat_t2v_"))
        #expect(folder.exists("inbox/_done/Cat.wav") && folder.exists("inbox/_done/cat.prompt"))
        #expect(folder.jobCount == 1)
    }

    @Test("sound that comes after the prompt makes one film with sound")
    func lateSound() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "gate cat")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        try folder.drop("cat.mp3", "sound")
        try folder.until("taken") { folder.jobCount == 2 }
        try Data().write(to: folder.layout.state.appendingPathComponent("gate"))
        try folder.untilIdle(films: 1)
        #expect(try folder.record(folder.outputs(".json")[0])["audio_sha256"]?.stringValue != nil)
    }

    @Test("picture, prompt and sound are one film")
    func three() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.m4a", "sound")
        try folder.drop("cat.jpg", "IMG cat END")
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        let record = try folder.record(folder.outputs(".json")[0])
        #expect(record["mode"]?.stringValue == "i2v")
        #expect(record["audio_sha256"]?.stringValue != nil && record["image_sha256"]?.stringValue != nil)
        #expect(folder.exists("inbox/_done/cat.m4a"))
    }

    @Test("what is no sound is returned with a text, and says so before anything is made")
    func brokenSound() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.wav", "noise")
        try folder.drop("cat.prompt", "a cat")
        try folder.until("returned") { folder.exists("inbox/_failed/cat.wav.ERROR.txt") }
        #expect(
            folder.text("inbox/_failed/cat.wav.ERROR.txt").hasPrefix("cat.wav: This is no sound.\r\nSave it as WAV"))
        #expect(folder.outputs().isEmpty)
    }

    @Test("a film with sound dropped back is made with its sound again, or says that it is gone")
    func soundAgain() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.wav", "sound of a cat")
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        let log = try String(decoding: folder.film(folder.outputs(".json")[0]), as: UTF8.self)
        try folder.drop("final/again.json", log)
        try folder.until("run again") { folder.outputs(".json", in: "final").count == 1 }
        let digest = Digest.of(Data("sound of a cat".utf8))
        #expect(
            try folder.record("final/" + folder.outputs(".json", in: "final")[0])["audio_sha256"]?.stringValue == digest
        )
        try folder.remove("_done/cat.wav")
        try FileManager.default.removeItem(at: folder.layout.snapshot(digest))
        try folder.drop("final/more.json", log)
        try folder.until("refused") { folder.exists("inbox/final/_failed/more.json.ERROR.txt") }
        #expect(folder.text("inbox/final/_failed/more.json.ERROR.txt").contains("made with a sound that is not here"))
    }

    @Test("a ledger of the first version is read, its jobs without sound")
    func migration() throws {
        let folder = try FolderHarness(workers: .none)
        try folder.drop("cat.prompt", "a cat")
        try folder.until("queued") { try folder.ledger.counts()[.queued] == 1 }
        try (folder.ledger as! SQLiteLedger).write { db in
            try db.execute(sql: "ALTER TABLE job DROP COLUMN audioSHA256")
            try db.execute(sql: "DELETE FROM grdb_migrations WHERE identifier = '2'")
        }
        try folder.stop()
        try folder.start()
        let job = try #require(try folder.ledger.jobs(in: [.queued]).first)
        #expect(job.promptGiven == "a cat" && job.audioSHA256 == nil)
    }
}

/// Counts calls from any thread.
private final class Counter: @unchecked Sendable {
    // Invariant: `count` is touched only with `lock` held.
    private let lock = NSLock()
    private var count = 0

    func next() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }

    var value: Int { lock.withLock { count } }
}
