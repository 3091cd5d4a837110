import Digests
import FolderFixtures
import Foundation
import Intake
import Rules
import Testing

@testable import WatchFolder

/// The ledger as a state machine: claims, fencing, order, the poison guard.
struct LedgerTests {
    let ledger: SQLiteLedger
    let start = Date(timeIntervalSince1970: 1_000_000)
    let policy = AttemptPolicy(backOff: 10)
    let outcome = RenderOutcome(filmSHA256: "00", posterSHA256: nil, report: [:])

    init() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("ledger-\(UUID().uuidString).sqlite")
        ledger = try SQLiteLedger(file: file)
    }

    @discardableResult
    private func accept(
        _ prompt: String, mode: GenerationMode = .textToVideo, priority: Int = 0, at seconds: Double = 0,
        replaces: [JobID] = []
    ) throws -> (drop: JobID, job: JobID) {
        let now = start.addingTimeInterval(seconds)
        let file = try PromptFile.read(
            Array("priority = \(priority)\n---\n\(prompt)".utf8), source: "x.prompt", isList: false)
        let settings = try JobExpansion.jobs(folder: SettingLayer(), promptFile: file, mode: mode, models: .fake)
        let identity = FileIdentity(device: 1, inode: 2, size: 3, modified: 4, changed: 5, blocks: 8)
        let drop = NewDrop(
            id: JobID(at: now), folder: "", stem: prompt, acceptedAt: now, after: .move,
            inputs: [InputRecord(role: .prompt, path: "x.prompt", name: "x.prompt", sha256: "aa", identity: identity)],
            jobs: [NewJob(id: JobID(at: now), settings: settings[0], seed: 1, imageSHA256: nil)], refusal: nil,
            replaces: replaces)
        try ledger.accept(drop)
        return (drop.id, drop.jobs[0].id)
    }

    private func claim(_ worker: String = "w", model: String? = nil, at seconds: Double) throws -> Claim? {
        try ledger.claim(
            worker: worker, loadedModel: model, at: start.addingTimeInterval(seconds), policy: policy)
    }

    @Test("jobs go by priority, then by the loaded model until they are old, then by time")
    func order() throws {
        try accept("first", mode: .imageToVideo, at: 0)
        try accept("second", at: 1)
        try accept("urgent", priority: 5, at: 2)
        #expect(try claim(model: "Fake-T2V", at: 3)?.job.stem == "urgent")
        #expect(try claim(model: "Fake-T2V", at: 3)?.job.stem == "second")
        try accept("third", at: 4)
        #expect(try claim(model: "Fake-T2V", at: 400)?.job.stem == "first")
        #expect(try claim(model: "Fake-I2V", at: 400)?.job.stem == "third")
        #expect(try claim(at: 400) == nil)
    }

    @Test("jobs in some states come by priority, then by time, the first of all of them where a few are wanted")
    func listed() throws {
        try accept("old", at: 0)
        try accept("new", at: 9)
        try accept("urgent", priority: 5, at: 5)
        let running = try #require(try claim(at: 20)).job.stem
        #expect(running == "urgent")
        try accept("late and urgent", priority: 5, at: 30)
        func stems(_ states: Set<JobState>, _ limit: Int) throws -> [String] {
            try ledger.jobs(in: states, limit: limit).map(\.stem)
        }
        #expect(try stems([.queued, .running], -1) == ["urgent", "late and urgent", "old", "new"])
        #expect(try stems([.queued, .running], 3) == ["urgent", "late and urgent", "old"])
        #expect(try stems([.queued], 1) == ["late and urgent"])
        #expect(try stems([.running, .rendered], 2) == ["urgent"])
        #expect(try stems([.done], 2) == [])
    }

    @Test("behaviour 17: the attempt is stored before the work; a late worker is fenced by its epoch")
    func fencing() throws {
        let (_, id) = try accept("cat")
        let old = try #require(try claim("old", at: 1))
        #expect(try ledger.history(of: id).contains("claimed: old, attempt 1"))
        let lost = ServiceError(.workerCrashed, "Died.", hint: "None.")
        #expect(try ledger.end(old, as: .lost(lost), at: start.addingTimeInterval(2), policy: policy) == .queued)
        #expect(try claim("new", at: 3) == nil, "the pause between attempts")
        let new = try #require(try claim("new", at: 20))
        #expect(new.epoch == 2)
        #expect(try ledger.beat(old, progress: nil, at: start) == .lost)
        #expect(try ledger.complete(old, outcome: outcome, at: start) == false)
        #expect(try ledger.beat(new, progress: nil, at: start) == .held)
        #expect(try ledger.complete(new, outcome: outcome, at: start))
        #expect(try ledger.job(id)?.state == .rendered)
    }

    @Test("three lost attempts are the end; interruptions and a full disk are counted apart")
    func poisonGuard() throws {
        let (_, id) = try accept("cat")
        let full = ServiceError(.noSpace, "Full.", hint: "Free space.")
        let lost = ServiceError(.workerCrashed, "Died.", hint: "None.")
        var time = 0.0
        for end in [AttemptEnd.failed(full), .interrupted, .interrupted, .lost(lost), .lost(lost), .lost(lost)] {
            time += 100
            let claim = try #require(try claim(at: time))
            try ledger.end(claim, as: end, at: start.addingTimeInterval(time), policy: policy)
        }
        let job = try #require(try ledger.job(id))
        #expect(job.state == .failed && job.failures == 3 && job.interruptions == 2 && job.epoch == 6)
        #expect(job.error?.message == "Given up after 3 attempts. Died.")
    }

    @Test("an error that no repetition mends fails at once")
    func finalError() throws {
        try accept("cat")
        let claim = try #require(try claim(at: 1))
        let error = ServiceError(.badSettings, "No.", hint: "Other.")
        #expect(try ledger.end(claim, as: .failed(error), at: start, policy: policy) == .failed)
    }

    @Test("a cancelled job never becomes a result, whatever its worker says")
    func cancelWins() throws {
        let (drop, id) = try accept("cat")
        let claim = try #require(try claim(at: 1))
        try ledger.cancel(drop: drop, missing: [.prompt], at: start)
        #expect(try ledger.beat(claim, progress: nil, at: start) == .cancelRequested)
        #expect(try ledger.complete(claim, outcome: outcome, at: start) == false)
        #expect(try ledger.job(id)?.state == .cancelled)
    }

    @Test("a newer drop takes the queued jobs of the older one, not the running one")
    func superseding() throws {
        let (running, first) = try accept("cat")
        _ = try #require(try claim(at: 1))
        let (queued, second) = try accept("cat", at: 2, replaces: [running])
        try accept("cat", at: 3, replaces: [queued])
        #expect(try ledger.job(first)?.state == .running)
        #expect(try ledger.job(second)?.state == .cancelled)
    }

    @Test("while the disk is full nobody claims")
    func pause() throws {
        try accept("cat")
        try ledger.setPause("full")
        #expect(try claim(at: 1) == nil)
        try ledger.setPause(nil)
        #expect(try claim(at: 1) != nil)
    }

    @Test("job ids are safe as names, sort by time, and foreign texts are none")
    func identifiers() {
        let early = JobID(at: Date(timeIntervalSince1970: 1))
        let late = JobID(at: Date(timeIntervalSince1970: 2))
        #expect(early.text < late.text)
        #expect(JobID(early.text) == early)
        #expect(JobID("../../etc/passwd") == nil && JobID("") == nil)
    }
}

@Suite struct PackedDigestTests {
    @Test("a digest in 32 bytes is the text again; what is none is nothing, and equal to no digest")
    func roundTrip() {
        for seed in 0..<50 {
            let text = Digest.of(Array("\(seed)".utf8))
            #expect(PackedDigest(text).text == text)
        }
        let low = String(repeating: "0", count: 64)
        #expect(PackedDigest(low).text == low)
        for bad in ["", "abc", String(repeating: "g", count: 64), String(repeating: "A", count: 64), low + "0"] {
            #expect(PackedDigest(bad).text == "")
            #expect(PackedDigest(bad) != PackedDigest(low))
        }
    }
}
