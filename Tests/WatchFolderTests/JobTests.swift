import Digests
import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// What happens to inputs while and after they are worked on: behaviours 8 to 10, 20 to 24.
@Suite(.serialized)
struct JobTests {
    private func openGate(_ folder: FolderHarness) throws {
        try Data().write(to: folder.layout.state.appendingPathComponent("gate"))
    }

    @Test("behaviour 8: overwriting an input during its job changes nothing of it and queues exactly one new one")
    func overwriteRunning() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.jpg", "IMG first END")
        try folder.drop("cat.prompt", "gate cat")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        let before = try folder.ledger.claims()[0].job
        try folder.drop("cat.jpg", "IMG second END")
        try folder.until("second job") { folder.jobCount == 2 }
        #expect(try folder.ledger.claims()[0].job.imageSHA256 == before.imageSHA256)
        try openGate(folder)
        try folder.untilIdle(films: 2)
        #expect(folder.jobCount == 2)
        let images = try Set(folder.outputs(".json").map { try folder.record($0)["image_sha256"]?.stringValue })
        #expect(images == [Digest.of(Data("IMG first END".utf8)), Digest.of(Data("IMG second END".utf8))])
        #expect(folder.text("inbox/_done/cat.jpg") == "IMG second END")
    }

    @Test("behaviour 8: overwriting a queued input replaces its job")
    func overwriteQueued() throws {
        let folder = try FolderHarness(workers: .none)
        try folder.drop("cat.prompt", "a cat")
        try folder.until("queued") { try folder.ledger.counts()[.queued] == 1 }
        try folder.drop("cat.prompt", "another cat")
        try folder.until("replaced") { try folder.ledger.counts() == [.queued: 1, .cancelled: 1] }
        #expect(try folder.ledger.jobs(in: [.queued])[0].promptGiven == "another cat")
    }

    @Test("behaviour 9: deleting a queued input cancels it within 2 s, and its partner is not run alone")
    func deleteQueued() throws {
        let folder = try FolderHarness(workers: .none)
        var cancelled = 0
        let seconds = try shortest(below: 2) { attempt in
            try folder.drop("cat.jpg", "IMG cat \(attempt) END")
            try folder.drop("cat.prompt", "a cat \(attempt)")
            try folder.until("queued") { try folder.ledger.counts()[.queued] == 1 }
            try folder.remove("cat.jpg")
            cancelled += 1
            return try folder.seconds("cancelled") { try folder.ledger.counts() == [.cancelled: cancelled] }
        }
        #expect(seconds <= 2)
        try folder.throughout { folder.jobCount == cancelled }
        try folder.until("told") { folder.status.contains("cat.prompt: its partner was taken away") }
        // A new picture of the name takes the prompt that is still there.
        try folder.drop("cat.jpg", "IMG new cat END")
        try folder.until("queued again") { try folder.ledger.counts()[.queued] == 1 }
        #expect(try folder.ledger.jobs(in: [.queued])[0].settings?.mode == .imageToVideo)
    }

    @Test("behaviour 9: deleting a running input stops the job at the next step, and no output appears")
    func deleteRunning() throws {
        let folder = try FolderHarness()
        var cancelled = 0
        let seconds = try shortest(below: 3) { attempt in
            try folder.drop("cat.prompt", "gate cat \(attempt)")
            try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
            try folder.remove("cat.prompt")
            cancelled += 1
            return try folder.seconds("cancelled") { try folder.ledger.counts() == [.cancelled: cancelled] }
        }
        #expect(seconds <= 3)
        try folder.until("closed") { try folder.ledger.openDrops().isEmpty }
        #expect(folder.outputs().isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.layout.stagingRoot.path).isEmpty)
    }

    @Test("behaviour 10: renaming a queued input keeps its place, and the output carries the new name")
    func renameQueued() throws {
        let folder = try FolderHarness()
        try folder.drop("first.prompt", "gate first")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        try folder.drop("cat.prompt", "a cat")
        try folder.until("queued") { try folder.ledger.counts()[.queued] == 1 }
        let id = try folder.ledger.jobs(in: [.queued])[0].id
        try folder.rename("cat.prompt", "tiger.prompt")
        try folder.until("renamed") { try folder.ledger.job(id)?.stem == "tiger" }
        #expect(try folder.ledger.job(id)?.state == .queued)
        try openGate(folder)
        try folder.untilIdle(films: 2)
        #expect(folder.jobCount == 2)
        #expect(folder.outputs().contains { $0.hasPrefix("tiger_t2v_") })
        #expect(folder.exists("inbox/_done/tiger.prompt"))
    }

    @Test("behaviour 20: drops of the same stem never overwrite each other's outputs or inputs")
    func sameStem() throws {
        let folder = try FolderHarness()
        for round in 1...3 {
            try folder.drop("cat.prompt", "seed cat number \(round)")
            try folder.untilIdle(films: round)
        }
        try folder.drop("CAT.prompt", "a shouting cat")
        try folder.untilIdle(films: 4)
        #expect(Set(folder.outputs().map(NameKey.fold)).count == 4)
        #expect(Set(try folder.outputs().map { try folder.film($0) }).count == 4)
        // Clients of the share do not tell case apart: `CAT.prompt` would hide `cat.prompt`.
        for name in ["cat.prompt", "cat-2.prompt", "cat-3.prompt", "CAT-4.prompt"] {
            #expect(folder.exists("inbox/_done/\(name)"))
        }
        for name in folder.outputs() {
            let record = try folder.record(name.replacingOccurrences(of: ".mp4", with: ".json"))
            #expect(record["output"]?.objectValue?["sha256"]?.stringValue == Digest.of(try folder.film(name)))
        }
    }

    @Test("behaviour 21: outputs are open to the group of the share, in folders that hand it on")
    func permissions() throws {
        let folder = try FolderHarness()
        chown(folder.layout.outbox.path, uid_t.max, 12345)
        try folder.drop("sub/cat.prompt", "a cat")
        try folder.until("film") { folder.outputs(".json", in: "sub").count == 1 }
        var status = stat()
        #expect(stat(folder.layout.outbox.appendingPathComponent("sub").path, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o2775)
        let group = status.st_gid
        for name in folder.outputs("", in: "sub") {
            #expect(stat(folder.layout.outbox.appendingPathComponent("sub/" + name).path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o664)
            #expect(status.st_gid == group)
        }
    }

    @Test("behaviour 22: a rule with BOM, CRLF and smart quotes works")
    func notepadRule() throws {
        let folder = try FolderHarness()
        try folder.rule("default.toml", "\u{FEFF}Seed = 42\r\nprompt_prefix = \u{201C}cinematic,\u{201D}\r\n")
        try folder.drop("cat.prompt", "a cat")
        try folder.untilIdle(films: 1)
        #expect(folder.outputs()[0].hasPrefix("cat_t2v_42_"))
        #expect(
            try folder.record(folder.outputs(".json")[0])["prompt"]?.objectValue?["used"]?.stringValue
                == "cinematic, a cat")
    }

    @Test("behaviour 22: a typo yields the ERROR text and holds jobs back until it is mended")
    func brokenRule() throws {
        let folder = try FolderHarness()
        let seconds = try shortest(below: 2) { _ in
            try folder.rule("drafts.toml", "steps = 2\n")
            try folder.until("no ERROR text") { !folder.exists("rules/drafts.ERROR.txt") }
            try folder.rule("drafts.toml", "steps = 2\n\naspekt_ratio = 16:9\n")
            return try folder.seconds("ERROR text") { folder.exists("rules/drafts.ERROR.txt") }
        }
        #expect(seconds <= 2)
        let lines = folder.text("rules/drafts.ERROR.txt").split(separator: "\r\n")
        #expect(lines.count == 2 && lines[0].contains("line 3") && lines[0].contains("aspect_ratio"))
        try folder.drop("drafts/cat.prompt", "a cat")
        try folder.drop("dog.prompt", "a dog")
        try folder.untilIdle(films: 1)
        try folder.throughout(0.2) { folder.jobCount == 1 }
        #expect(folder.status.contains("drafts/cat.prompt: waits because a rule is broken"))
        try folder.rule("drafts.toml", "steps = 2\n\naspect_ratio = 16:9\n")
        try folder.until("film") { folder.outputs(".json", in: "drafts").count == 1 }
        #expect(!folder.exists("rules/drafts.ERROR.txt"))
    }

    @Test("behaviour 23: STATUS names every file with its state")
    func statusTellsAll() throws {
        let folder = try FolderHarness()
        try folder.drop("done.prompt", "done")
        try folder.untilIdle(films: 1)
        try folder.drop("bad.prompt", "steps = 9\n---\nbad")
        try folder.until("failed") { folder.exists("inbox/_failed/bad.prompt.ERROR.txt") }
        try folder.drop("running.prompt", "gate running")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        try folder.drop("queued.prompt", "queued")
        try folder.drop("lonely.jpg", "IMG END")
        try folder.drop("clip.avi", "no input")
        try folder.until("all told") {
            let text = folder.status
            return [
                "running: ", "1. queued", "lonely.jpg: waiting for lonely.prompt", "clip.avi: files of kind .avi",
                "done -> done_t2v_0_Fake_T2V_", "bad: bad.prompt, line 1: steps",
            ].allSatisfy(text.contains)
        }
        let age = try shortest(below: 2) { _ in
            try folder.throughout(2.2) { true }
            var status = stat()
            stat(folder.layout.outbox.appendingPathComponent("STATUS.txt").path, &status)
            return Date().timeIntervalSince1970 - Double(status.st_mtim.tv_sec)
        }
        #expect(age <= 2)
        let machine = try JSONDecoder.ledger.decode(
            ServiceStatus.self, from: Data(contentsOf: folder.layout.statusFile))
        #expect(machine.running.count == 1 && machine.queued.count == 1 && machine.waiting.count == 2)
    }

    @Test("behaviour 24: the same drop with the same seed and settings gives the same film")
    func sameSeedSameFilm() throws {
        let folder = try FolderHarness()
        for name in ["a.prompt", "b.prompt"] { try folder.drop(name, "seed = 7\n---\na cat") }
        try folder.untilIdle(films: 2)
        #expect(try folder.film(folder.outputs()[0]) == folder.film(folder.outputs()[1]))
    }

    @Test("prompt lists, seed lists and variations make one job each")
    func series() throws {
        let folder = try FolderHarness()
        try folder.drop("many.prompts", "one\n# a comment\ntwo\n\nthree\n")
        try folder.drop("seeds.prompt", "seed = [1, 2]\n---\na cat")
        try folder.drop("more.prompt", "variations = 3\nseed = random\n---\na dog")
        try folder.untilIdle(films: 8)
        let seeds = try folder.outputs(".json").filter { $0.hasPrefix("more") }.map { try folder.record($0)["seed"] }
        #expect(Set(seeds).count == 3)
        #expect(folder.outputs().filter { $0.hasPrefix("seeds_t2v_1_") || $0.hasPrefix("seeds_t2v_2_") }.count == 2)
    }

    @Test("after = keep and delete; a kept file is run once, and again when it changes")
    func afterJob() throws {
        let folder = try FolderHarness()
        try folder.drop("gone.prompt", "after = delete\n---\na cat")
        try folder.drop("kept.prompt", "after = keep\n---\na cat")
        try folder.untilIdle(films: 2)
        #expect(!folder.exists("inbox/gone.prompt") && !folder.exists("inbox/_done"))
        try folder.throughout { folder.jobCount == 2 }
        try folder.stop()
        try folder.start()
        try folder.throughout { folder.jobCount == 2 }
        try folder.drop("kept.prompt", "after = keep\n---\nanother cat")
        try folder.untilIdle(films: 3)
    }

    @Test("dragging an input back from _done or _failed runs it again")
    func dragBack() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "a cat")
        try folder.drop("bad.prompt", "refuse")
        try folder.until("both ended") {
            folder.exists("inbox/_done/cat.prompt") && folder.exists("inbox/_failed/bad.prompt.ERROR.txt")
        }
        #expect(
            folder.text("inbox/_failed/bad.prompt.ERROR.txt") == "The engine refuses.\r\nAsk for something else.\r\n")
        try folder.rename("_done/cat.prompt", "cat.prompt")
        try folder.untilIdle(films: 2)
        try folder.rename("_failed/bad.prompt", "bad.prompt")
        try folder.until("failed again") { try folder.ledger.counts()[.failed] == 2 }
    }

    @Test(
        "a result dropped into another folder runs again, with its prompt, picture and seed, under that folder's rule")
    func droppedResults() throws {
        let folder = try FolderHarness()
        try folder.rule("final.toml", "steps = 1\nseed = 99\n")
        try folder.drop("cat.jpg", "IMG cat END")
        try folder.drop("cat.prompt", "seed = 1234\nsteps = 4\n---\na cat")
        try folder.untilIdle(films: 1)
        let log = folder.outputs(".json")[0]
        try folder.drop("final/" + log, folder.text("outbox/" + log))
        try folder.until("again") { folder.outputs(".json", in: "final").count == 1 }
        let again = folder.outputs(".json", in: "final")[0]
        #expect(again.hasPrefix("cat_i2v_1234_Fake_I2V_") && again.split(separator: "_").count == 7)
        let record = try folder.record("final/" + again)
        #expect(record["seed"] == .integer(1234))
        #expect(record["mode"]?.stringValue == "i2v")
        #expect(record["prompt"]?.objectValue?["given"]?.stringValue == "a cat")
        #expect(record["settings"]?.objectValue?["steps"]?.objectValue?["value"] == .integer(1))
        // The film itself, whose metadata the fixture's reader takes from its content; and a foreign one.
        try folder.drop("final/again.mp4", folder.text("outbox/" + log))
        try folder.until("by the film") { folder.outputs(".json", in: "final").count == 2 }
        try folder.drop("holiday.mp4", "not ours")
        try folder.until("refused") { folder.exists("inbox/_failed/holiday.mp4.ERROR.txt") }
    }
}
