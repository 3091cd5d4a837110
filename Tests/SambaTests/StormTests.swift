import Digests
import FolderFixtures
import Foundation
import GRDB
import TestSupport
import Testing

@testable import WatchFolder

extension SambaSuite {
    /// Many drops over SMB, into a service of its own process with the options it has without a configuration.
    @Suite struct StormTests {
        /// `DROPREEL_DROPS=100000` makes it a long day.
        private static let count = number("DROPREEL_DROPS") ?? 120
        private static let perSecond = number("DROPREEL_DROPS_PER_SECOND") ?? 20
        private static let perFolder = 500

        private static func number(_ name: String) -> Int? {
            ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
        }

        private static func folder(_ index: Int) -> String { "f\(index / perFolder)" }

        @Test("drops of two people over SMB, one after the other: none is lost, none is made twice")
        func drops() throws {
            let share = try ShareFolder(isServed: false)
            let people = [share.person, try share.secondPerson()]
            let service = try ChildProcess(
                Tools.find("env"),
                [
                    "FAKE_WATCHER=" + BuiltProgram.releaseURL("dropreel-watcher").path,
                    BuiltProgram.releaseURL("dropreel-fake").path, "serve",
                    share.server.root.path, "2",
                ],
                output: share.server.root.deletingLastPathComponent().appendingPathComponent("storm.out"))
            defer { service.end(within: 30) }
            try share.until("running") { share.status.hasPrefix("Dropreel is running.") }
            let ledger = try SQLiteLedger(file: share.layout.ledgerFile)

            var closed: [String: Double] = [:]
            let start = SystemClock().uptime()
            for index in 0..<Self.count {
                if index % Self.perFolder == 0 { try people[0].makeFolder("inbox/" + Self.folder(index)) }
                let due = start + Double(index) / Double(Self.perSecond)
                while SystemClock().uptime() < due { usleep(1000) }
                try people[index % 2].put("inbox/\(Self.folder(index))/p\(index).prompt", "film \(index)")
                closed["p\(index)"] = Date().timeIntervalSince1970
            }
            let dropped = SystemClock().uptime() - start
            try share.until("all done", within: 3600) { try ledger.counts()[.done] == Self.count && isClosed(ledger) }
            let ended = SystemClock().uptime() - start
            #expect(service.isRunning)
            service.end(within: 30)
            #expect(service.exitStatus(waiting: true) == 0)

            #expect(try violations(share) == [])
            let waits = try accepted(ledger).map { $1 - closed[$0, default: .infinity] }.sorted()
            #expect(waits.count == Self.count)
            let (median, late) = (waits[waits.count / 2], waits[min(waits.count - 1, waits.count * 99 / 100)])
            print(
                "\(Self.count) drops over SMB in \(Int(dropped)) s, all made after \(Int(ended)) s; accepted after "
                    + "\(median) s (median), \(late) s (99 of 100), \(waits[waits.count - 1]) s (last), "
                    + "quiet period \(ServiceOptions().quietPeriod) s")
        }

        private func isClosed(_ ledger: SQLiteLedger) throws -> Bool {
            try ledger.read { db in
                try !(Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM \"drop\" WHERE state = 'open')") ?? true)
            }
        }

        /// Stem and time of each drop.
        private func accepted(_ ledger: SQLiteLedger) throws -> [(String, Double)] {
            try ledger.read { db in
                try Row.fetchAll(db, sql: "SELECT stem, acceptedAt FROM \"drop\"").map {
                    ($0["stem"], $0["acceptedAt"])
                }
            }
        }

        /// What does not hold of inbox and outbox once all is done.
        private func violations(_ share: ShareFolder) throws -> [String] {
            var found: [String] = []
            let files = FileManager.default
            for first in stride(from: 0, to: Self.count, by: Self.perFolder) {
                let folder = Self.folder(first)
                let stems = (first..<min(first + Self.perFolder, Self.count)).map { "p\($0)" }
                let inbox = share.layout.inbox.path + "/" + folder
                let left = try files.contentsOfDirectory(atPath: inbox).filter {
                    !["_done", "STATUS.txt"].contains($0)
                }
                if !left.isEmpty { found.append("left in \(folder): \(left)") }
                let done = try files.contentsOfDirectory(atPath: inbox + "/_done")
                if Set(done) != Set(stems.map { $0 + ".prompt" }) { found.append("\(folder): \(done.count) done") }
                let outbox = share.layout.outbox.path + "/" + folder
                let outputs = try files.contentsOfDirectory(atPath: outbox).filter { $0 != "STATUS.txt" }
                let films = outputs.filter { $0.hasSuffix(".mp4") }
                let made = films.compactMap { $0.split(separator: "_").first.map(String.init) }
                if made.sorted() != stems.sorted() { found.append("\(folder): \(films.count) films") }
                if outputs.count != 4 * stems.count { found.append("\(folder): \(outputs.count) outputs") }
                for film in films {
                    let place = outbox + "/" + film.dropLast(4)
                    let record = try JSONSerialization.jsonObject(
                        with: Data(contentsOf: URL(fileURLWithPath: place + ".json")))
                    let output = (record as? [String: Any])?["output"] as? [String: Any]
                    if try output?["sha256"] as? String != Digest.ofFile(place + ".mp4") {
                        found.append("\(film): not what its log says")
                    }
                }
            }
            let lines = try Data(contentsOf: share.layout.outbox.appendingPathComponent("log.jsonl"))
                .count { $0 == UInt8(ascii: "\n") }
            if lines != Self.count { found.append("log.jsonl has \(lines) lines") }
            if !(try files.contentsOfDirectory(atPath: share.layout.stagingRoot.path).isEmpty) {
                found.append("staging")
            }
            return found
        }
    }
}
