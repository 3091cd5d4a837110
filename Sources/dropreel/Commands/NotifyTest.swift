import ArgumentParser
import Foundation
import Rules

struct NotifyTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify-test", abstract: "Send a test notice to the configured webhook and ntfy topic.",
        discussion: "Exits with 0 when everything arrived, 69 when something did not, 78 when nothing is configured.")

    @OptionGroup var option: ConfigurationOption

    func run() throws {
        let settings = try option.load().notices
        let delivery = NoticeDelivery(settings: settings)
        guard delivery.isOn else {
            throw fail(
                .configuration, "No notices are configured.", hint: "Set notices.webhook or notices.ntfy.")
        }
        var notice = Notice()
        notice.service = ["A test of Dropreel's notices. Nothing has happened."]
        let failures = delivery.send(notice)
        for failure in failures { Console.error("error: \(failure)") }
        guard failures.isEmpty else {
            throw fail(.unavailable, "Not every notice arrived.", hint: "Check the address, the token and the network.")
        }
        let targets = [settings.webhook.map { _ in "webhook" }, settings.ntfy.map { _ in "ntfy" }].compactMap { $0 }
        Console.print("Sent to \(targets.joined(separator: " and ")).")
    }
}
