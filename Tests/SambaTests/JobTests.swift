import Digests
import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

extension SambaSuite {
    /// What happens over SMB to inputs and outputs: behaviours 8 to 10, 20, 21.
    @Suite struct JobTests {
        @Test("behaviour 8: overwriting an input during its job changes nothing of it and queues exactly one new one")
        func overwriteRunning() throws {
            let share = try ShareFolder()
            let (first, second) = (ShareFolder.picture("first"), ShareFolder.picture("second"))
            try share.person.put("inbox/cat.jpg", first)
            try share.person.put("inbox/cat.prompt", "gate cat")
            try share.until("running") { try share.states() == [.running] }
            // In place, as every client overwrites; in two pieces, so that a reader could tear it.
            let file = try share.person.create("inbox/cat.jpg")
            try file.write(second.prefix(20))
            try share.letPass()
            #expect(try share.jobs().count == 1)
            try file.write(second.suffix(from: 20))
            try file.close()
            try share.until("second job") { try share.jobs().count == 2 }
            try share.openGate()
            try share.untilFilms(2)
            #expect(try share.jobs().count == 2)
            let images = try Set(share.outputs(".json").map { try share.record($0)["image_sha256"]?.stringValue })
            #expect(images == [Digest.of(first), Digest.of(second)])
            #expect(try share.person.get("inbox/_done/cat.jpg") == second)
        }

        @Test("behaviour 9: deleting a queued input over SMB cancels it within 2 s, without any output")
        func deleteQueued() throws {
            let share = try ShareFolder(workers: .none)
            let seconds = try shortest(below: 2) { attempt in
                let stem = "cat\(attempt)"
                try share.person.put("inbox/\(stem).prompt", "a cat")
                try share.until("queued") { try share.states(stem) == [.queued] }
                try share.smbclient("del inbox/\(stem).prompt")
                let deleted = Date()
                try share.until("cancelled") { try share.states(stem) == [.cancelled] }
                return try #require(share.jobs(stem)[0].finishedAt).timeIntervalSince(deleted)
            }
            #expect(seconds <= 2)
            try share.until("out of STATUS") { !share.status.contains("1. cat") }
            #expect(share.outputs("").filter { $0.hasPrefix("cat") }.isEmpty)
        }

        @Test("behaviour 9: deleting a running input over SMB stops the job, without any output")
        func deleteRunning() throws {
            let share = try ShareFolder()
            try share.person.put("inbox/cat.prompt", "gate cat")
            try share.until("running") { try share.states() == [.running] }
            try share.person.delete("inbox/cat.prompt")
            try share.until("cancelled") { try share.states() == [.cancelled] }
            try share.until("closed") { try share.ledger.openDrops().isEmpty }
            #expect(share.outputs("").filter { $0.hasPrefix("cat") }.isEmpty)
        }

        @Test("behaviour 10: renaming a queued input over SMB keeps its place; the output carries the new name")
        func renameQueued() throws {
            let share = try ShareFolder()
            try share.person.put("inbox/first.prompt", "gate first")
            try share.until("running") { try share.states() == [.running] }
            try share.person.put("inbox/cat.prompt", "a cat")
            try share.until("queued") { try share.states("cat") == [.queued] }
            let id = try share.jobs("cat")[0].id
            try share.person.put("inbox/last.prompt", "last")
            try share.until("queued") { try share.states("last") == [.queued] }
            try share.smbclient("rename inbox/cat.prompt inbox/tiger.prompt")
            try share.until("renamed") { try share.ledger.job(id)?.stem == "tiger" }
            #expect(try share.ledger.job(id)?.state == .queued)
            try share.until("in STATUS, at its place") {
                share.status.contains("1. tiger\r\n") && share.status.contains("2. last\r\n")
            }
            try share.openGate()
            try share.untilFilms(3)
            #expect(try share.jobs().count == 3)
            #expect(share.outputs().contains { $0.hasPrefix("tiger_t2v_") })
            #expect(share.person.names("inbox/_done").contains("tiger.prompt"))
        }

        @Test("behaviour 20: drops of the same stem, in any case, never overwrite each other's outputs or inputs")
        func sameStem() throws {
            let share = try ShareFolder()
            for round in 1...3 {
                try share.person.put("inbox/cat.prompt", "seed = 1\n---\ncat number \(round)")
                try share.untilFilms(round)
            }
            try share.person.put("inbox/CAT.prompt", "seed = 1\n---\na shouting cat")
            try share.untilFilms(4)
            #expect(Set(share.outputs().map(NameKey.fold)).count == 4)
            #expect(try Set(share.outputs().map { try share.person.get("outbox/" + $0) }).count == 4)
            let returned = share.person.names("inbox/_done").filter { $0.lowercased().hasPrefix("cat") }
            #expect(Set(returned.map(NameKey.fold)).count == 4)
            for name in share.outputs() {
                let record = try share.record(name.replacingOccurrences(of: ".mp4", with: ".json"))
                let digest = Digest.of(try share.person.get("outbox/" + name))
                #expect(record["output"]?.objectValue?["sha256"]?.stringValue == digest)
            }
        }

        @Test("behaviour 21: another person of the share can read, rename and delete every output and what is returned")
        func everybodysOutputs() throws {
            let share = try ShareFolder()
            let other = try share.secondPerson()
            try share.person.makeFolder("inbox/trip")
            try share.person.put("inbox/trip/cat.prompt", "a cat")
            try share.person.put("inbox/trip/bad.prompt", "refuse")
            try share.untilFilms(1, in: "trip")
            try share.until("returned") { other.names("inbox/trip/_failed").count == 2 }
            let outputs = try other.list("outbox/trip").filter { $0.name != "STATUS.txt" }
            #expect(Set(outputs.map { $0.name.suffix(4) }) == [".mp4", ".jpg", "json"])
            for output in outputs {
                let path = "outbox/trip/" + output.name
                #expect(try other.get(path).count == output.size && output.size > 0)
                try other.rename(path, "outbox/trip/mine-" + output.name)
                try other.delete("outbox/trip/mine-" + output.name)
            }
            try share.remove("outbox/trip")
            for name in other.names("inbox/trip/_failed") {
                #expect(try !other.get("inbox/trip/_failed/" + name).isEmpty)
                try other.delete("inbox/trip/_failed/" + name)
            }
            try other.rename("inbox/trip/_done/cat.prompt", "inbox/trip/cat.prompt")
            try share.untilFilms(1, in: "trip")
            try other.delete("inbox/trip/_done/cat.prompt")
            for folder in ["inbox/trip/_done", "inbox/trip/_failed", "inbox/trip"] { try share.remove(folder) }
            for name in ["log.jsonl", "STATUS.txt"] { #expect(try !other.get("outbox/" + name).isEmpty) }
        }

        @Test("20 prompts into drafts/, three keepers copied into final/: run again under that folder's rule")
        func keepers() throws {
            // Three files of one film, copied one after another, settle together.
            let share = try ShareFolder { $0.quietPeriod = 1 }
            try share.person.put("rules/drafts.toml", "steps = 1\nseed = random\n")
            try share.person.put("rules/final.toml", "steps = 4\nseed = 99\n")
            try share.untilRules(["drafts", "final"])
            let source = share.layout.state.appendingPathComponent("source/drafts")
            try FileManager.default.createDirectory(at: source, withIntermediateDirectories: true)
            for index in 0..<20 {
                try Data("scene \(index)".utf8).write(to: source.appendingPathComponent("scene\(index).prompt"))
            }
            try share.person.makeFolder("inbox/final")
            try share.smbclient(
                "recurse ON", "prompt OFF", "lcd \(source.deletingLastPathComponent().path)", "cd inbox", "mput drafts")
            try share.untilFilms(20, in: "drafts")
            let logs = share.outputs(".json", in: "drafts")
            #expect(Set(logs.compactMap { try? share.record("drafts/" + $0)["seed"] }).count == 20)
            let keepers = logs.prefix(3).map { String($0.dropLast(5)) }
            // The log alone, copied within the server as Explorer does; the film alone (the fixture's reader takes its
            // content for its metadata); all three files of a film.
            try share.smbclient("scopy outbox/drafts/\(keepers[0]).json inbox/final/\(keepers[0]).json")
            try share.person.put(
                "inbox/final/\(keepers[1]).mp4", share.person.get("outbox/drafts/\(keepers[1]).json"))
            for ending in [".jpg", ".mp4", ".json"] {
                try share.person.put(
                    "inbox/final/\(keepers[2])\(ending)", share.person.get("outbox/drafts/\(keepers[2])\(ending)"))
            }
            try share.untilFilms(3, in: "final")
            try share.letPass()
            #expect(try share.jobs().count == 23)
            for keeper in keepers {
                let draft = try share.record("drafts/\(keeper).json")
                // A film that is run again keeps its stem, and gets a tail of its own.
                let stem = try #require(keeper.split(separator: "_").first)
                let name = try #require(share.outputs(".json", in: "final").first { $0.hasPrefix(stem + "_t2v_") })
                #expect(name.split(separator: "_").count == keeper.split(separator: "_").count)
                let final = try share.record("final/" + name)
                #expect(final["seed"] == draft["seed"])
                #expect(final["prompt"]?.objectValue?["given"] == draft["prompt"]?.objectValue?["given"])
                #expect(final["settings"]?.objectValue?["steps"]?.objectValue?["value"] == .integer(4))
                #expect(draft["settings"]?.objectValue?["steps"]?.objectValue?["value"] == .integer(1))
            }
        }
    }
}
