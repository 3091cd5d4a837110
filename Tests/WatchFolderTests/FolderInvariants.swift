import Digests
import FolderFixtures
import Foundation
import Rules

@testable import WatchFolder

/// What holds for a folder whose service has ended in order, whatever happened to it before.
struct FolderInvariants {
    enum Outcome { case film, error, either }

    /// Files dropped together, and what must have become of them.
    struct Drop {
        var stem: String
        var files: [String]
        var outcome: Outcome
    }

    var root: URL
    var drops: [Drop]

    /// - Returns: what does not hold.
    func violations() -> [String] {
        var found: [String] = []
        let outbox = names("outbox")
        let (done, failed) = (names("inbox/_done"), names("inbox/_failed"))
        for drop in drops { found += check(drop, outbox: outbox, done: done, failed: failed) }
        let stems = Set(drops.map(\.stem))
        for name in outbox where !["STATUS.txt", "log.jsonl"].contains(name) {
            let isKnown = name.firstIndex(of: "_").map { stems.contains(String(name[..<$0])) } ?? false
            if !isKnown { found.append("nobody's file in the outbox: \(name)") }
        }
        let left = names("inbox").filter { !["_done", "_failed", "STATUS.txt"].contains($0) }
        if !left.isEmpty { found.append("left in the inbox: \(left.prefix(10))") }
        if done.count + failed.filter({ !$0.hasSuffix(".ERROR.txt") }).count != drops.flatMap(\.files).count {
            found.append("inputs: \(done.count) done, \(failed.count) files in _failed, of \(drops.count) drops")
        }
        let staged = names("state/staging")
        if !staged.isEmpty { found.append("orphans in staging: \(staged)") }
        let halves = names("state/snapshots").filter { $0.hasPrefix(".") }
        if !halves.isEmpty { found.append("half-made copies: \(halves)") }
        return found + checkLog() + checkLedger()
    }

    private func names(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path)) ?? [])
            .sorted()
    }

    private func check(_ drop: Drop, outbox: [String], done: [String], failed: [String]) -> [String] {
        let own = outbox.filter { $0.hasPrefix(drop.stem + "_") }
        let isDone = drop.files.allSatisfy(done.contains)
        let isFailed = drop.files.allSatisfy(failed.contains)
        guard isDone != isFailed else { return ["\(drop.stem): not all of its inputs are done, nor failed"] }
        if isFailed {
            if drop.outcome == .film { return ["\(drop.stem): failed"] }
            let isTold = drop.files.contains { failed.contains($0 + ".ERROR.txt") }
            return own.isEmpty && isTold ? [] : ["\(drop.stem): failed, but \(own), told: \(isTold)"]
        }
        if drop.outcome == .error { return ["\(drop.stem): succeeded"] }
        let films = own.filter { $0.hasSuffix(".mp4") }
        guard films.count == 1, own.count == 4 else {
            return ["\(drop.stem): not one film with its three files: \(own)"]
        }
        let base = String(films[0].dropLast(4))
        let folder = root.appendingPathComponent("outbox")
        guard [".json", ".jpg", "_sheet.jpg"].allSatisfy({ own.contains(base + $0) }),
            let film = try? Data(contentsOf: folder.appendingPathComponent(films[0])),
            let log = try? Data(contentsOf: folder.appendingPathComponent(base + ".json")),
            let record = try? JSONDecoder().decode(JSONValue.self, from: log).objectValue
        else { return ["\(drop.stem): files missing or unreadable: \(own)"] }
        let told = record["output"]?.objectValue?["sha256"]?.stringValue
        let isTrue = OutboxSampler.isWholeFilm(film) && told == Digest.of(film)
        return isTrue ? [] : ["\(drop.stem): not what its log says"]
    }

    private func checkLog() -> [String] {
        let path = root.appendingPathComponent("outbox/log.jsonl")
        guard let text = try? String(contentsOf: path, encoding: .utf8) else { return ["no log.jsonl"] }
        let ids = text.split(separator: "\n").map { line in
            try? JSONDecoder().decode(JSONValue.self, from: Data(line.utf8)).objectValue?["id"]?.stringValue
        }
        let isSound = !ids.contains(nil) && Set(ids).count == ids.count && text.hasSuffix("\n")
        return isSound && ids.count == drops.count ? [] : ["log.jsonl has \(ids.count) lines for \(drops.count) jobs"]
    }

    private func checkLedger() -> [String] {
        do {
            let ledger = try SQLiteLedger(file: root.appendingPathComponent("state/ledger.sqlite"))
            try ledger.verify()
            let open = try ledger.openDrops().map(\.stem)
            if !open.isEmpty { return ["open in the ledger: \(open)"] }
            let unfinished = try ledger.jobs(in: [.queued, .running, .rendered, .publishing]).map(\.stem)
            if !unfinished.isEmpty { return ["not final in the ledger: \(unfinished)"] }
            let done = try ledger.jobs(in: [.done]).count
            let films = names("outbox").filter { $0.hasSuffix(".mp4") }.count
            return done == films ? [] : ["the ledger has \(done) films, the outbox \(films)"]
        } catch {
            return ["ledger: \(error)"]
        }
    }
}
