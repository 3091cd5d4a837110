import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

extension SambaSuite {
    /// What is read and written as text over SMB: rules, errors, the status, names; behaviours 9, 22, 23.
    @Suite struct FolderTextTests {
        @Test("behaviour 22: a rule with BOM, CRLF and smart quotes works")
        func notepadRule() throws {
            let share = try ShareFolder()
            try share.person.put(
                "rules/default.toml", "\u{FEFF}Seed = 42\r\nprompt_prefix = \u{201C}cinematic,\u{201D}\r\n")
            try share.untilRules(["default"])
            try share.person.put("inbox/cat.prompt", "\u{FEFF}a cat\r\n")
            try share.untilFilms(1)
            #expect(share.outputs()[0].hasPrefix("cat_t2v_42_"))
            let prompt = try share.record(share.outputs(".json")[0])["prompt"]?.objectValue
            #expect(prompt?["used"]?.stringValue == "cinematic, a cat")
        }

        @Test("behaviour 22: a typo shows as ERROR.txt within 2 s, jobs wait, and run when it is mended by a new file")
        func brokenRule() throws {
            let share = try ShareFolder()
            let other = try share.secondPerson()
            try share.person.makeFolder("inbox/drafts")
            try share.person.put("rules/drafts.toml", "steps = 2\r\n")
            try share.untilRules(["drafts"])
            let seconds = try shortest(below: 2) { attempt in
                if attempt > 0 {
                    try share.person.put("rules/drafts.toml", "steps = 2\r\n")
                    try share.until("no ERROR text") { other.text("rules/drafts.ERROR.txt") == nil }
                }
                // As Notepad saves: in place.
                try share.person.put("rules/drafts.toml", "steps = 2\r\n\r\naspekt_ratio = 16:9\r\n")
                let saved = Date()
                try share.until("ERROR text") { other.text("rules/drafts.ERROR.txt") != nil }
                var status = stat()
                #expect(stat(share.layout.rules.appendingPathComponent("drafts.ERROR.txt").path, &status) == 0)
                let shown = Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
                return shown - saved.timeIntervalSince1970
            }
            #expect(seconds <= 2)
            let lines = try #require(other.text("rules/drafts.ERROR.txt")).split(separator: "\r\n")
            #expect(lines.count == 2 && lines[0].contains("line 3") && lines[0].contains("aspect_ratio"))
            try share.person.put("inbox/drafts/cat.prompt", "a cat")
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            try share.until("told") { share.status.contains("drafts/cat.prompt: waits because a rule is broken") }
            // As other editors save: a new file that takes the old one's place.
            try other.put("rules/~drafts.tmp", "steps = 2\r\n\r\naspect_ratio = 16:9\r\n")
            try other.delete("rules/drafts.toml")
            try other.rename("rules/~drafts.tmp", "rules/drafts.toml")
            try share.untilFilms(1, in: "drafts")
            #expect(other.names("rules") == ["drafts.toml"])
        }

        @Test(
            "behaviour 23: STATUS.txt, read over SMB while it is replaced, is whole, fresh and names every file's state"
        )
        func statusTellsAll() throws {
            let share = try ShareFolder()
            try share.person.put("inbox/done.prompt", "done")
            try share.untilFilms(1)
            try share.person.put("inbox/bad.prompt", "steps = 9\n---\nbad")
            try share.until("failed") { share.person.names("inbox/_failed").contains("bad.prompt.ERROR.txt") }
            try share.person.put("inbox/running.prompt", "gate running")
            try share.until("running") { try share.states("running") == [.running] }
            try share.person.put("inbox/queued.prompt", "queued")
            try share.person.put("inbox/lonely.jpg", ShareFolder.picture("lonely"))
            try share.person.put("inbox/half.png", "IMG half")
            try share.person.put("inbox/clip.avi", "no input")
            let held = try share.person.create("inbox/held.prompt")
            try held.write(Data("held".utf8))
            let wanted = [
                "running: ", "1. queued", "lonely.jpg: waiting for lonely.prompt", "clip.avi: files of kind .avi",
                "half.png: incomplete", "held.prompt: another program still writes", "done -> done_t2v_0_Fake_T2V_",
                "bad: bad.prompt, line 1: steps",
            ]
            try share.until("all told") {
                let text = share.status
                return wanted.allSatisfy(text.contains)
            }
            for _ in 0..<100 {
                let text = try String(decoding: share.person.get("outbox/STATUS.txt"), as: UTF8.self)
                #expect(text.hasPrefix("Dropreel is running.\r\nWritten ") && text.hasSuffix("\r\n"))
                #expect(text.contains("done -> done_t2v_0_Fake_T2V_"))
            }
            let age = shortest(below: 2) { _ in
                usleep(2_200_000)
                var status = stat()
                #expect(stat(share.layout.outbox.appendingPathComponent("STATUS.txt").path, &status) == 0)
                return Date().timeIntervalSince1970 - Double(status.st_mtim.tv_sec)
            }
            #expect(age <= 2)
            // What can be seen in the outbox is results and what tells about them; nothing temporary.
            #expect(
                share.outputs("").allSatisfy { $0.hasPrefix("done_t2v_") || ["STATUS.txt", "log.jsonl"].contains($0) })
            try held.close()
        }

        @Test("names that SMB mangles or forbids become outputs that every client sees under their real name")
        func names() throws {
            let share = try ShareFolder()
            let overShare = [
                "\u{DC}n\u{EF}c\u{F6}d\u{E9} \u{65E5}\u{672C} \u{1F3AC}", "decomposed e\u{301}",
                "brackets (a) [b] {c} & 100% #1", "-rf", "dots...", String(repeating: "\u{9577}", count: 80),
            ]
            // These come from a shell or another protocol; over SMB they show under mangled names.
            let fromElsewhere = ["what?", "a:b", "back\\slash", "star*", "tail ", "CON", "aux.x", "pipe|\"<>"]
            for stem in overShare { try share.person.put("inbox/\(stem).prompt", "a cat") }
            for stem in fromElsewhere {
                let path = share.layout.inbox.appendingPathComponent(stem + ".prompt").path
                try Data("a cat".utf8).write(to: URL(fileURLWithPath: path))
            }
            let count = overShare.count + fromElsewhere.count
            try share.untilFilms(count)
            let real = try FileManager.default.contentsOfDirectory(atPath: share.layout.outbox.path)
            #expect(Set(share.person.names("outbox")) == Set(real))
            for name in share.outputs("") {
                #expect(name.utf8.elementsEqual(name.precomposedStringWithCanonicalMapping.utf8))
                #expect(name.utf8.count <= 255)
                #expect(try !share.person.get("outbox/" + name).isEmpty)
            }
            #expect(share.person.names("inbox/_done").count >= count)
            #expect(try share.states() == Array(repeating: .done, count: count))
        }
    }
}
