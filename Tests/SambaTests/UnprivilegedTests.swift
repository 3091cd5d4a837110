import FolderFixtures
import Foundation
import Testing

extension SambaSuite {
    /// The service as `etc/dropreel.service` runs it: an account of the share's group, without capabilities.
    @Suite struct UnprivilegedTests {
        @Test("behaviours 4 and 21: without privileges a file held open is not started, and results are everybody's")
        func withoutPrivileges() throws {
            let share = try ShareFolder(isServed: false)
            let other = try share.secondPerson()
            // Where the account may enter, whatever the rights of the build folder.
            let program = share.server.root.deletingLastPathComponent().appendingPathComponent("dropreel-fake")
            if access(program.path, F_OK) != 0 {
                try FileManager.default.copyItem(
                    at: URL(fileURLWithPath: ShareFolder.builtProgram("dropreel-fake")), to: program)
            }
            chmod(program.path, 0o755)
            let account = share.server.account
            let service = try ChildProcess(
                Tools.find("setpriv"),
                [
                    "--reuid=\(account.user)", "--regid=\(account.group)", "--clear-groups", "--no-new-privs",
                    "--bounding-set=-all", "--", program.path, "serve", share.server.root.path, "1",
                ],
                output: share.server.root.deletingLastPathComponent().appendingPathComponent("service.out"))
            defer { service.end(within: 10) }
            let held = try share.person.create("inbox/held.prompt")
            try held.write(Data("a cat".utf8))
            for stem in ["one", "two", "three"] {
                try other.put("inbox/\(stem).prompt", "a dog")
                try share.until("\(stem) done") {
                    other.names("outbox", ".json").contains { $0.hasPrefix(stem + "_") }
                }
            }
            #expect(other.names("outbox").filter { $0.hasPrefix("held") }.isEmpty)
            #expect(share.status.contains("held.prompt: another program still writes to it"))
            try held.write(Data(" that runs".utf8))
            try held.close()
            try share.until("held done") { other.names("outbox", ".json").contains { $0.hasPrefix("held_") } }
            let log = try #require(other.names("outbox", ".json").first { $0.hasPrefix("held_") })
            #expect(try share.record(log)["prompt"]?.objectValue?["given"]?.stringValue == "a cat that runs")
            // Inputs in a folder that a person made are taken out of it, and results come into one of the same name.
            try other.makeFolder("inbox/trip")
            try other.put("inbox/trip/cat.prompt", "a cat")
            try share.until("trip done") {
                other.names("outbox/trip", ".json").count == 1 && other.names("inbox/trip/_done") == ["cat.prompt"]
            }
            for name in share.outputs("", in: "trip") { try share.person.delete("outbox/trip/" + name) }
            try share.person.removeFolder("outbox/trip")
        }
    }
}
