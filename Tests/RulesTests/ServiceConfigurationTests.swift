import Testing

@testable import Rules

@Suite("The service's configuration")
struct ServiceConfigurationTests {
    private func read(_ text: String) throws -> ServiceConfiguration {
        try ServiceConfiguration.read(Array(text.utf8), source: "etc/dropreel.toml", directory: "/srv/dropreel/etc")
    }

    private func messages(_ text: String) -> [String] {
        do {
            _ = try read(text)
            return []
        } catch {
            return (error as? RuleProblems)?.all.map(\.located) ?? ["\(error)"]
        }
    }

    @Test("an empty file is all defaults")
    func defaults() throws {
        let configuration = try read("")
        #expect(configuration == ServiceConfiguration.standard(root: "/srv/dropreel"))
        #expect(configuration.folders.inbox == "/srv/dropreel/inbox")
        #expect(configuration.models.directories == ["/srv/dropreel/Models"])
        #expect(configuration.intake.pairWait == 20)
        #expect(configuration.jobs.attempts == 3)
        #expect(configuration.jobs.retention == nil)
        #expect(configuration.jobs.retentionSize == nil)
        #expect(configuration.share.folderStatus)
        #expect(configuration.metrics == .init(port: nil, file: nil))
        #expect(configuration.notices.webhook == nil && configuration.notices.ntfy == nil)
    }

    @Test("the commented file is legal, and its lines are the defaults")
    func commented() throws {
        #expect(try read(ConfigurationKey.commentedFile) == read(""))
        let live = ConfigurationKey.commentedFile.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("# ") && line.contains(" = ") && !line.contains(". Legal:") ? line.dropFirst(2) : line
        }
        let text = live.joined(separator: "\n")
        #expect(text.contains("\npair_wait = 20 s\n"))
        #expect(try read(text) == read(""))
    }

    @Test("values of every kind")
    func values() throws {
        let configuration = try read(
            """
            root = "/data"
            [folders]
            inbox = "in"
            state = "/var/lib/dropreel"
            [models]
            directories = ["m", "/opt/m/../models"]
            text_to_video = "Wan2.1-1.3B"
            [Intake]
            pair_wait = 1.5 min
            scan_interval = 90
            watch = poll
            [jobs]
            retention = 30 d
            snapshots = "2 GiB"
            retention_size = 10 GiB
            [share]
            folder_status = off
            [metrics]
            port = 9471
            file = "metrics/dropreel.prom"
            [notices]
            webhook = "https://hooks.example/x?y=1#z"
            ntfy = http://ntfy.example/films
            ntfy_token_file = etc/token
            events = all
            window = 2 min
            [log]
            level = "debug"
            """)
        #expect(configuration.folders.inbox == "/data/in")
        #expect(configuration.folders.state == "/var/lib/dropreel")
        #expect(configuration.models.directories == ["/data/m", "/opt/models"])
        #expect(configuration.models.textToVideo == "Wan2.1-1.3B")
        #expect(configuration.intake.pairWait == 90)
        #expect(configuration.intake.scanInterval == 90)
        #expect(configuration.intake.watch == .poll)
        #expect(configuration.jobs.retention == 2_592_000.0)
        #expect(configuration.jobs.snapshots == 2 << 30)
        #expect(configuration.log.level == .debug)
        #expect(configuration.jobs.retentionSize == 10 << 30)
        #expect(!configuration.share.folderStatus)
        #expect(configuration.metrics == .init(port: 9471, file: "/data/metrics/dropreel.prom"))
        #expect(
            configuration.notices
                == .init(
                    webhook: "https://hooks.example/x?y=1#z", ntfy: "http://ntfy.example/films",
                    ntfyTokenFile: "/data/etc/token", events: .all, window: 120))
    }

    @Test(
        "what is wrong",
        arguments: [
            ("[intake]\npair_wiat = 20", "line 2: pair_wiat: unknown setting; did you mean pair_wait?"),
            ("[jobs]\npair_wait = 20", "line 2: pair_wait: unknown in [jobs]"),
            ("[intak]\npair_wait = 20", "line 2: [intak]: unknown section; did you mean [intake]?"),
            ("[intake]\npair_wait = 20 parsecs", "line 2: pair_wait: 20 parsecs is not legal; legal: 0 s to 1 d"),
            ("[engine]\nbackend = vulkan", "line 2: backend: vulkan is not legal; legal: auto, cpu or cuda"),
            ("[jobs]\nattempts = 3\n[jobs]\nattempts = 4", "line 4: jobs.attempts: already set in line 2"),
            ("[folders]\noutbox = inbox", "line 2: folders.outbox: /srv/dropreel/inbox is also the inbox folder"),
            (
                "[folders]\nstate = inbox/state",
                "line 2: folders.state: /srv/dropreel/inbox/state is inside the inbox folder"
            ),
            ("[[jobs]]", "line 1: [[jobs]]: not a section heading"),
            ("[share]\nfolder_status = maybe", "line 2: folder_status: maybe is not legal; legal: yes or no"),
            (
                "[jobs]\nretention_size = 5 d",
                "line 2: retention_size: 5 d is not legal; legal: off, or 0 MiB to 1024 GiB"
            ),
            ("[metrics]\nport = 70000", "line 2: port: 70000 is not legal; legal: 0 to 65535"),
            (
                "[notices]\nntfy = ntfy.sh/films",
                "line 2: ntfy: ntfy.sh/films is not legal; legal: an http or https address, or empty for none"
            ),
            ("[notices]\nevents = fail", "line 2: events: fail is not legal; did you mean failed?"),
            ("[jobs] x", "line 1: text after the section heading [jobs]"),
        ])
    func wrong(_ text: String, _ expected: String) {
        #expect(messages(text) == [expected])
    }
}
