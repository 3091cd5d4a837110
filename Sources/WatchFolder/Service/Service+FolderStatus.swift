import Foundation
import Intake
import Rules

extension Service {
    /// STATUS.txt in the folders of inbox and outbox that are in use, where it says something new.
    func writeFolderStatus(_ status: ServiceStatus) throws {
        let start = clock.uptime()
        guard options.writesFolderStatus, start >= nextFolderStatus || !status.isRunning else { return }
        // Many folders in which much happens must not keep the service from its work.
        defer {
            let interval = max(options.statusInterval, 10 * (clock.uptime() - start))
            nextFolderStatus = clock.uptime() + min(interval, 2)
        }
        let news = board.news(status, utcOffset: utcOffset)
        guard !news.isEmpty else { return }
        let text = ShareText(files: files, staging: layout.stagingRoot.path)
        let outbox = try SafeRoot(path: layout.outbox.path)
        for (folder, content) in news {
            let place = RelativePath(folder)
            if view.folders.contains(place) { try put(content, in: place, of: view.root, text) }
            let parts = place.components.map { OutputName.sanitise($0) }
            // The outbox itself has the whole.
            guard !parts.isEmpty else { continue }
            try put(content, in: RelativePath(parts.joined(separator: "/")), of: outbox, text)
        }
    }

    /// A folder that is not there yet, or that cannot be written, has no text.
    private func put(_ content: String, in folder: RelativePath, of root: SafeRoot, _ text: ShareText) throws {
        guard let descriptor = try? root.openDirectory(folder) else { return }
        close(descriptor)
        do {
            try text.write(content, to: folder.appending("STATUS.txt"), in: root)
        } catch let error as ServiceError {
            if error.code == .noSpace { throw error }
            logger.debug("no STATUS.txt", metadata: ["folder": "\(folder)", "error": "\(error)"])
        }
    }
}
