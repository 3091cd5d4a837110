import ArgumentParser

/// The command line: each verb in a file of its own under `Commands/`.
@main
struct Dropreel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dropreel",
        abstract: "Drop prompts and pictures into a folder, collect films.",
        discussion: """
            Start with `dropreel doctor` (what this host can run) and `dropreel serve --config etc/dropreel.toml`.

            Exit codes follow sysexits(3): 0 done, 64 wrong usage, 65 bad input, 66 input missing, 69 something needed \
            is not there, 70 internal error, 74 input/output error, 75 try again later, 78 wrong configuration.
            """,
        version: ProgramVersion.current,
        subcommands: [
            Serve.self, Run.self, Generate.self, Explain.self, Check.self, Status.self, Models.self, Doctor.self,
            NotifyTest.self,
            DecodeLatents.self, SelfTestCommand.self, BenchCommand.self, Worker.self, Decode.self,
        ]
    )
}

/// The version of the program, as logs and films carry it.
enum ProgramVersion {
    static let current = "0.1.0"
}
