import Foundation
import Media
import WatchFolder

/// Decodes a picture on trial, in a process of its own, to tell whether it is whole.
struct PictureInspector: ImageInspecting {
    private let decoder: IsolatedDecoder

    init(decoder: IsolatedDecoder = IsolatedDecoder()) { self.decoder = decoder }

    func inspect(_ snapshot: URL) -> ImageVerdict {
        do {
            let size = try decoder.persistently { try $0.pictureSize(path: snapshot.path) }
            return .complete(width: size.width, height: size.height)
        } catch let error as MediaError where error.code == .incomplete {
            return .incomplete
        } catch let error as MediaError where error.code == .unavailable {
            return .broken(ServiceError(.interrupted, error.message, hint: error.hint))
        } catch let error as MediaError where error.code != .io {
            return .broken(ServiceError(.badInput, error.message, hint: error.hint))
        } catch {
            return .broken(ServiceError.wrapping(FilmEngine.serviceError(error)))
        }
    }
}

/// Reads the `dropreel` key of a film dropped back.
struct FilmReader: FilmMetadataReading {
    func dropreelMetadata(of film: URL) throws -> String? {
        try VideoMetadata.read(path: film.path).dropreel
    }
}
