import ArgumentParser
import CPUBackend
import Foundation
import Generation
import Rules

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what this host can run, and what is missing.")

    @OptionGroup var option: ConfigurationOption

    @Flag(help: "Print the findings as JSON.")
    var json = false

    func run() throws {
        let configuration = try option.load()
        let findings = HostExamination(configuration).findings()
        if json {
            try Console.printJSON(findings)
        } else {
            for finding in findings {
                Console.print("[\(finding.verdict.rawValue)] \(finding.subject): \(finding.text)")
                if let hint = finding.hint { Console.print("       \(hint)") }
            }
        }
        if findings.contains(where: { $0.verdict == .missing }) { throw ExitCode.unavailable }
    }
}
